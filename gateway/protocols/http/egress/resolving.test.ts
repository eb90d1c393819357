import type { lookup } from 'node:dns';
import { expect, test } from '@jest/globals';
import { inTurn } from './resolving.js';

type Answer = (error: Error | null, addresses: { address: string; family: number }[]) => void;

/** What the system was asked, and is answered by the test. */
function system() {
  const asked: { name: string; answer: Answer }[] = [];
  const resolve = ((name: string, _options: object, answer: Answer) => asked.push({ name, answer })) as unknown;
  return { asked, resolve: inTurn(resolve as typeof lookup) };
}

test('one name is asked for at once, however long it takes: the threads that wait for names are of the whole process', () => {
  const { asked, resolve } = system();
  const answered: string[] = [];
  for (const name of ['slow.example', 'a.example', 'b.example']) resolve(name, 0, () => answered.push(name));
  expect(asked.map(({ name }) => name)).toEqual(['slow.example']);
  asked[0]!.answer(new Error('no answer'), []);
  expect(asked.map(({ name }) => name)).toEqual(['slow.example', 'a.example']);
  asked[1]!.answer(null, [{ address: '1.1.1.1', family: 4 }]);
  asked[2]!.answer(null, [{ address: '1.1.1.1', family: 4 }]);
  expect(answered).toEqual(['slow.example', 'a.example', 'b.example']);
  resolve('later.example', 0, () => undefined);
  expect(asked.at(-1)?.name).toBe('later.example');
});

test('what nobody waits for any more is not asked', () => {
  const { asked, resolve } = system();
  resolve('slow.example', 0, () => undefined);
  const withdraw = resolve('given-up.example', 0, () => undefined);
  resolve('next.example', 0, () => undefined);
  withdraw();
  asked[0]!.answer(null, []);
  expect(asked.map(({ name }) => name)).toEqual(['slow.example', 'next.example']);
});
