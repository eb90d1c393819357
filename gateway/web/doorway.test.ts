import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Doorway, letIn, securedBy } from './doorway.js';

/** What a doorway looks at of a connection. */
class Connection extends EventEmitter {
  destroyed = false;
  bytesWritten = 0;
  writableLength = 0;
  constructor(
    readonly remoteAddress: string,
    readonly remotePort: number,
  ) {
    super();
  }
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

const bounds = {
  connections_max: 6,
  strangers_max: 3,
  greeting_ms_max: 1_000,
  request_ms_max: 1,
  stalled_ms_max: 4_000,
};
let doorway: Doorway;
let port = 0;

beforeEach(() => {
  jest.useFakeTimers();
  doorway = new Doorway(bounds);
});
afterEach(() => {
  doorway.close();
  jest.useRealTimers();
});

const socketOf = (connection: Connection) => connection as unknown as Socket;
function enter(address = 'a'): Connection {
  const connection = new Connection(address, ++port);
  doorway.enter(socketOf(connection));
  return connection;
}
const who = (subject: string, issuer = 'one') => ({ issuer, subject });
const gone = (...connections: Connection[]) => connections.map(({ destroyed }) => destroyed);

test('the oldest of who has most gives way', () => {
  const [other, first, second] = [enter('b'), enter(), enter()];
  const third = enter();
  expect(gone(other, first, second, third)).toEqual([false, true, false, false]);
});

test('one that has gone leaves its room, and one that is in takes none', () => {
  const [first, second, third] = [enter(), enter(), enter()];
  first.destroy();
  expect(letIn(socketOf(second), who('ada'))).toBeUndefined();
  const more = [enter(), enter()];
  expect(gone(second, third, ...more)).toEqual([false, false, false, false]);
});

test('nobody is in with more than half, all together with no more than there is room for, and no place is lost', () => {
  const said = (subject: string) => {
    const connection = enter();
    return [letIn(socketOf(connection), who(subject)), connection] as const;
  };
  const own = [said('ada'), said('ada'), said('ada')];
  expect(own.map(([why]) => why)).toEqual([undefined, undefined, undefined]);
  expect(said('ada')[0]).toMatch(/of yours/);
  for (const subject of ['b', 'c', 'd']) expect(said(subject)[0]).toBeUndefined();
  expect(said('e')[0]).toMatch(/too many connections are open/);
  // Once more on the same one, whoever it is now: it is in.
  expect(letIn(socketOf(own[0]![1]), who('e'))).toBeUndefined();
  own[0]![1].destroy();
  expect(said('ada')[0]).toBeUndefined();
});

test('subjects of the same name are two where their issuers are', () => {
  for (const issuer of ['one', 'other'])
    for (let count = 0; count < 3; count++) expect(letIn(socketOf(enter()), who('ada', issuer))).toBeUndefined();
  expect(letIn(socketOf(enter()), who('ada', 'other'))).toMatch(/too many connections are open/);
});

test('who was closed before he was known is not in, and takes no room', () => {
  for (let count = 0; count < 20; count++) {
    const connection = enter();
    connection.destroy();
    expect(letIn(socketOf(connection), who('ada'))).toMatch(/closed/);
  }
  expect(letIn(socketOf(enter()), who('ada'))).toBeUndefined();
});

test('whoever does not say in time what he wants is closed, known or not', () => {
  const [silent, known, said] = [enter('a'), enter('b'), enter('c')];
  letIn(socketOf(known), who('ada'));
  doorway.greeted(socketOf(said));
  jest.advanceTimersByTime(600);
  const late = enter('d');
  jest.advanceTimersByTime(600);
  expect(gone(silent, known, said, late)).toEqual([true, true, false, false]);
  jest.advanceTimersByTime(600);
  expect(gone(said, late)).toEqual([false, true]);
});

test('whoever takes nothing is closed, a stranger sooner, and nobody who takes something or has nothing to take', () => {
  const [stranger, known, slow, idle] = [enter('a'), enter('b'), enter('c'), enter('d')];
  const inner = new Connection('b', 0);
  securedBy(socketOf(known), socketOf(inner));
  for (const each of [stranger, known, slow, idle]) doorway.greeted(socketOf(each));
  for (const each of [known, slow, idle]) letIn(socketOf(each), who(each.remoteAddress));
  for (const each of [stranger, inner, slow]) Object.assign(each, { writableLength: 100, bytesWritten: 100 });
  for (let passed_ms = 0; passed_ms < 3_000; passed_ms += 500) {
    slow.bytesWritten += 1;
    // What is added to it is not taken.
    inner.bytesWritten += 10;
    inner.writableLength += 10;
    jest.advanceTimersByTime(500);
  }
  expect(gone(stranger, known, slow, idle)).toEqual([true, false, false, false]);
  for (let passed_ms = 0; passed_ms < 3_000; passed_ms += 500) {
    slow.bytesWritten += 1;
    jest.advanceTimersByTime(500);
  }
  expect(gone(known, inner, slow, idle)).toEqual([true, true, false, false]);
});
