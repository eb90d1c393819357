import { describe, expect, test } from '@jest/globals';
import { UpstreamError } from './errors.js';
import { createLogger, type LogOptions } from './log.js';

const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';

function lines(options: LogOptions, use: (log: ReturnType<typeof createLogger>) => void): string {
  let text = '';
  use(createLogger({ ...options, output: { write: (line) => (text += line) } }));
  return text;
}

describe('the log', () => {
  test('is JSON lines where nobody watches', () => {
    const text = lines({}, (log) => log.info({ target: 'orders', rows: 2 }, 'ready'));
    expect(JSON.parse(text)).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/u),
      target: 'orders',
      rows: 2,
      msg: 'ready',
    });
  });

  test('is lines for people on a terminal', () => {
    const text = lines({ readable: true, colour: false }, (log) =>
      log.warn({ target: 'orders', why: 'two words' }, 'slow'),
    );
    expect(text).toMatch(/^\d\d:\d\d:\d\d\.\d{3} warn {2}slow target=orders why="two words"\n$/u);
  });

  test('leaves out what is below its level', () => {
    expect(lines({ level: 'warn' }, (log) => log.info('x'))).toBe('');
  });

  test.each([true, false])('never holds a secret (readable: %s)', (readable) => {
    const text = lines({ readable }, (log) => {
      log.info(
        { token: 'hidden-1', nested: { deep: { password: 'hidden-2' } }, list: [{ authorization: 'hidden-3' }] },
        'a',
      );
      log.info(`sign-in with ${jwt} failed`);
      log.child({ secret: 'hidden-5' }).info({ url: 'postgres://user:hidden-4@host/db' }, 'b');
      log.error({ err: new Error(`refused ${jwt}`) }, 'c');
    });
    expect(text).not.toMatch(/hidden-|eyJ/u);
    expect(text).toContain('postgres://user:[redacted]@host/db');
  });

  test('tells of an error what clients are not told', () => {
    const error = new UpstreamError('the server cannot be reached', {
      detail: 'ECONNREFUSED',
      cause: new Error('inner'),
    });
    const text = lines({}, (log) => log.error({ err: error }, 'no connection'));
    expect(JSON.parse(text)).toMatchObject({
      err: { type: 'UpstreamError', code: 'upstream', detail: 'ECONNREFUSED', cause: { message: 'inner' } },
    });
    expect(lines({ readable: true }, (log) => log.error({ err: error }, 'x'))).toContain('detail: ECONNREFUSED');
  });

  test('shows control characters instead of obeying them', () => {
    const text = lines({ readable: true, colour: false }, (log) =>
      log.info({ application: '\u001b[2Jpsql\nfake line' }, '\u001b]0;x\u0007'),
    );
    expect(text.split('\n')).toHaveLength(2);
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/u);
  });

  test('prints what lies too deep, or refers to itself, as far as it goes', () => {
    const loop: Record<string, unknown> = { name: 'loop' };
    loop.self = loop;
    expect(JSON.parse(lines({}, (log) => log.info({ loop }, 'x')))).toHaveProperty('loop.self.self.name', 'loop');
  });
});
