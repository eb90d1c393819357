import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { passMasked } from './masked.js';
import { answerMasks } from './masking.js';

const masks = answerMasks([{ code: 'a', resource: 'body:a', with: 'null', scope: 'source' }], () => '')!;

function answerOf(text: string): IncomingMessage {
  const answer = new IncomingMessage(new Socket());
  answer.statusCode = 200;
  answer.headers['content-type'] = 'application/json';
  answer.push(text);
  answer.push(null);
  answer.complete = true;
  return answer;
}

/** To a client that takes nothing. */
const unread = () => new ServerResponse(new IncomingMessage(new Socket()));

test('a document counts as held until its client has taken it', async () => {
  const options = { bytes_max: undefined, field: (_name: string, value: string) => value, more: [] };
  const pass = (response: ServerResponse) =>
    passMasked(answerOf(`{"a":"${'x'.repeat(600)}"}`), response, masks, { ...options, held_bytes_max: 1_000 });
  const slow = unread();
  const first = pass(slow);
  while (!slow.headersSent) await new Promise((resolve) => setImmediate(resolve));
  await expect(pass(unread())).rejects.toThrow('too many large answers');
  slow.emit('close');
  await expect(first).resolves.toMatchObject({ how: 'gone' });
  const next = unread();
  const second = pass(next);
  while (!next.headersSent) await new Promise((resolve) => setImmediate(resolve));
  next.emit('close');
  await expect(second).resolves.toMatchObject({ bytes: 10 });
});
