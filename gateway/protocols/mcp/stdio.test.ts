import { once, EventEmitter } from 'node:events';
import { expect, test } from '@jest/globals';
import { StdioConnection } from './stdio.js';

/** A program that is spoken to over its standard input. */

test('what it says of its environment on standard error is concealed, also where it comes in two pieces', async () => {
  const secret = 'canary-environment';
  // The second half is said once the first was heard.
  const script = `
    const [half, rest] = [process.env.SERVICE_TOKEN.slice(0, 9), process.env.SERVICE_TOKEN.slice(9)];
    process.stderr.write('token: ' + half);
    process.stdin.once('data', () => process.stderr.write(rest + ' was said', () => process.exit()));
  `;
  const heard = new EventEmitter();
  const said: string[] = [];
  const receiver = { message: async () => undefined, gone: () => void heard.emit('gone') };
  const connection = new StdioConnection(
    {
      command: [process.execPath, '-e', script],
      environment: { SERVICE_TOKEN: secret },
      answer_bytes_max: 1_000,
    } as never,
    receiver,
    (line) => {
      said.push(line);
      heard.emit('said');
    },
  );
  await once(heard, 'said');
  const gone = once(heard, 'gone');
  await connection.send('on');
  await gone;
  while (!said.join('').includes('was said')) await once(heard, 'said');
  expect(said.join('')).not.toContain('canary-en');
  expect(said.join('')).toContain('*'.repeat(secret.length));
});
