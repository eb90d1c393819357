import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import type { Mask } from '#engine';
import { masksOf } from './masking.js';
import { Pins } from './pins.js';

/** What has an end: descriptors, files of what was seen; and which of several masks is the last. */

describe('a program', () => {
  // In a process of its own, which may have few descriptors, enough to load what is tried, and has opened all of them.
  const script = `
    import { openSync, closeSync } from 'node:fs';
    import { StdioConnection } from ${JSON.stringify(new URL('../../../dist/gateway/protocols/mcp/stdio.js', import.meta.url).href)};
    const gone = [];
    const open = [];
    const start = (command) => {
      const server = { command, environment: {}, answer_bytes_max: 1000 };
      try {
        new StdioConnection(server, { gone: (why) => gone.push(why), message: async () => undefined }, () => undefined);
        return 'started';
      } catch (error) {
        return error.constructor.name + ': ' + error.message;
      }
    };
    try { for (;;) open.push(openSync('/dev/null')); } catch {}
    const full = start([process.execPath]);
    for (const descriptor of open) closeSync(descriptor);
    const missing = start(['/nowhere/at/all']);
    const long = start([process.execPath, 'x'.repeat(300000)]);
    setImmediate(() => process.stdout.write(JSON.stringify({ full, missing, long, gone })));
  `;

  test('that cannot be started is an error of its session, and the gateway goes on', async () => {
    const run = promisify(execFile);
    const { stdout } = await run(
      'sh',
      ['-c', 'ulimit -n 512 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
      { cwd: fileURLToPath(new URL('../../..', import.meta.url)) },
    );
    expect(JSON.parse(stdout)).toEqual({
      full: 'UpstreamError: the program could not be run: the gateway has too many files and connections open',
      missing: 'started',
      long: 'UpstreamError: the program could not be run (E2BIG)',
      gone: ['the program could not be run (ENOENT)'],
    });
  });
});

describe('what tools were when they were first seen', () => {
  const keeper = (earlier: readonly string[] = []) => {
    const kept = new Map(earlier.map((name) => [name, 'old']));
    const services = {
      keep: async (name: string, make: () => string) => {
        if (!kept.has(name)) kept.set(name, make());
        return kept.get(name)!;
      },
      kept: async (prefix: string) => [...kept.keys()].filter((name) => name.startsWith(prefix)),
    };
    return { kept, services };
  };

  test('is kept for so many, and what comes then is as nobody looked at it', async () => {
    const { kept, services } = keeper();
    const seen = new Pins(services, 3).of('tracker');
    const names = Array.from({ length: 50 }, (_, index) => `tool-${index}`);
    const answers = await Promise.all(names.map((name) => seen(name, 'digest')));
    expect(answers.filter((one) => one === 'digest')).toHaveLength(3);
    expect(kept.size).toBe(3);
    expect(await seen('tool-0', 'other')).toBe('digest');
  });

  test('counts what earlier runs kept, and nothing of a target whose name only begins so', async () => {
    const hex = 'ab'.repeat(16);
    const { services } = keeper([
      `mcp-tracker-${hex}.pin`,
      `mcp-tracker-two-${hex}.pin`,
      `mcp-tracker-${hex}.pin.0123`,
    ]);
    const seen = new Pins(services, 2).of('tracker');
    expect(await seen('one', 'digest')).toBe('digest');
    expect(await seen('two', 'digest')).toBeUndefined();
  });
});

describe('masks that meet on one value', () => {
  const mask = (path: string, how: Mask['with']): Mask => ({
    ...{ code: `${path} ${how}`, resource: `lookup:${path}`, with: how, scope: 'output' },
  });
  const result = JSON.stringify({ content: [], structuredContent: { customer: { email: 'ada@example.com', n: 'x' } } });
  const under = (...all: Mask[]) => JSON.parse(masksOf(all, 'lookup', () => '00')!.result(result)) as object;

  test.each<[Mask['with'], Mask['with'], string | null]>([
    ['hash', 'redact', '***'],
    ['redact', 'hash', '***'],
    ['null', 'redact', null],
    ['hash', 'null', null],
  ])('%s and %s come to the stricter, whichever is named first', (first, second, email) => {
    const wanted = { structuredContent: { customer: { email } } };
    expect(under(mask('customer.email', first), mask('**.email', second))).toMatchObject(wanted);
    expect(under(mask('customer.email', first), mask('customer.*', second))).toMatchObject(wanted);
  });

  test('one on an object holds inside of it, beside a weaker one on a value', () => {
    expect(under(mask('customer.email', 'hash'), mask('customer', 'redact'))).toMatchObject({
      structuredContent: { customer: { email: '***', n: '***' } },
    });
  });

  test('one that cannot be put in force is refused, not left out', () => {
    const pattern = { code: 'm', with: 'pattern', scope: 'output' } as const;
    const named = (resource: string, kinds?: string[]) =>
      masksOf([{ ...pattern, resource, ...(kinds && { parameters: { kinds } }) }], 'lookup', () => '00');
    for (const resource of ['lookup:customer.email', '*:email'])
      expect(() => named(resource)).toThrow('fields of results can be masked with null, redact or hash');
    expect(() => named('*', ['emial'])).toThrow(/kinds/);
    // Of another tool, whose name may have a colon in it.
    expect(named('crm:lookup')).toBeUndefined();
  });
});
