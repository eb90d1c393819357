import { randomBytes } from 'node:crypto';
import { message } from '../support/wire.js';

/**
 * Generated malformed input. Everything comes out of a seed, so that a case that fails can be had again by its number.
 */
export interface Random {
  /** A whole number from 0 below `bound`. */
  below(bound: number): number;
  pick<T>(from: readonly T[]): T;
  bytes(length: number): Buffer;
}

/** Mulberry32: small, and the same everywhere. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  const below = (bound: number) => Math.floor(next() * bound);
  return {
    below,
    pick: (from) => from[below(from.length)]!,
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  };
}

export const newSeed = (): number => randomBytes(4).readUInt32BE(0);

const lengths = [0, 1, 3, 4, 5, 7, 8, -1, -4, -0x8000_0000, 0x7fff_ffff, 0x4000_0000, 10_001, 65_536, 0x0400_0005];

type Corrupt = (frames: Buffer[], random: Random, lengthAt: number) => Buffer[];

/** Where the type stands before the length (1), or there is no type (0). */
const anywhere = (frames: readonly Buffer[], { below }: Random) => below(frames.length);
const changed = (frames: Buffer[], index: number, change: (frame: Buffer) => Buffer): Buffer[] =>
  frames.map((frame, at) => (at === index ? change(Buffer.from(frame)) : frame));

const corruptions: Record<string, Corrupt> = {
  truncated: (frames, from) => {
    const all = Buffer.concat(frames);
    return [all.subarray(0, from.below(all.length))];
  },
  'a wrong length': (frames, from, lengthAt) =>
    changed(frames, anywhere(frames, from), (frame) => {
      if (frame.length >= lengthAt + 4) frame.writeInt32BE(from.pick(lengths), lengthAt);
      return frame;
    }),
  'a length that is nearly right': (frames, from, lengthAt) =>
    changed(frames, anywhere(frames, from), (frame) => {
      if (frame.length >= lengthAt + 4)
        frame.writeInt32BE((frame.readInt32BE(lengthAt) + from.pick([-3, -2, -1, 1, 2, 3])) | 0, lengthAt);
      return frame;
    }),
  'flipped bits': (frames, from) =>
    changed(frames, anywhere(frames, from), (frame) => {
      for (let count = 1 + from.below(4); count > 0; count--) {
        const at = from.below(frame.length);
        frame[at] = frame[at]! ^ (1 << from.below(8));
      }
      return frame;
    }),
  'zero bytes inside': (frames, from) =>
    changed(frames, anywhere(frames, from), (frame) => {
      frame[from.below(frame.length)] = 0;
      return frame;
    }),
  'bytes that are no UTF-8': (frames, from, lengthAt) =>
    changed(frames, anywhere(frames, from), (frame) => {
      const at = Math.min(lengthAt + 4 + from.below(20), frame.length - 1);
      frame[at] = from.pick([0x80, 0xc0, 0xc3, 0xed, 0xf5, 0xff]);
      return frame;
    }),
  'junk behind the terminator': (frames, from, lengthAt) =>
    changed(frames, anywhere(frames, from), (frame) => {
      const longer = Buffer.concat([frame, from.bytes(1 + from.below(30))]);
      if (longer.length >= lengthAt + 4) longer.writeInt32BE(longer.length - lengthAt, lengthAt);
      return longer;
    }),
  'no terminator': (frames, from, lengthAt) =>
    changed(frames, anywhere(frames, from), (frame) => {
      const shorter = frame.subarray(0, Math.max(lengthAt + 4, frame.length - 1 - from.below(4)));
      if (shorter.length >= lengthAt + 4) shorter.writeInt32BE(shorter.length - lengthAt, lengthAt);
      return shorter;
    }),
  'giant counts': (frames, from, lengthAt) =>
    changed(frames, anywhere(frames, from), (frame) => {
      const room = frame.length - lengthAt - 6;
      if (room > 0) frame.writeInt16BE(from.pick([0x7fff, -1, -0x8000, 1000]), lengthAt + 4 + from.below(room));
      return frame;
    }),
  'another order': (frames, from) => {
    const shuffled = [...frames];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = from.below(at + 1);
      [shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!];
    }
    return shuffled;
  },
  'repeated messages': (frames, from) => {
    const again = from.pick(frames);
    return [...frames, ...Array.from({ length: 2 + from.below(100) }, () => again)];
  },
  'random bytes behind': (frames, from) => [...frames, from.bytes(1 + from.below(200))],
  'random bytes alone': (_frames, from) => [from.bytes(1 + from.below(300))],
};

const clientHello = Buffer.from('16030100c8010000c40303', 'hex');

/** What precedes a session: packets without a type. */
const greetings: readonly (() => Buffer[])[] = [
  () => [message.startup({ user: 'agent', database: 'orders', application_name: 'x' })],
  () => [message.startup({ user: 'agent', database: 'orders', options: '-c statement_timeout=5s -c geqo=off' })],
  () => [message.startup({ user: 'agent', database: 'orders' }), message.password('x'.repeat(3000))],
  () => [message.startup({ user: 'agent', database: 'orders' }, { major: 3, minor: 9 })],
  () => [message.startup({ user: 'agent', database: 'orders' }, { major: 2, minor: 0 })],
  () => [message.sslRequest()],
  () => [message.sslRequest(), message.sslRequest(), message.sslRequest(), message.sslRequest(), message.sslRequest()],
  () => [message.sslRequest(), message.startup({ user: 'agent', database: 'orders' })],
  () => [message.cancel(4711, Buffer.from('00112233', 'hex'))],
  () => [message.cancel(-1, Buffer.alloc(32))],
  () => [Buffer.concat([clientHello, Buffer.alloc(200)])],
  () => [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  () => [message.startup({ user: 'agent', database: 'orders', replication: 'true' })],
  () => [message.startup(Object.fromEntries(Array.from({ length: 400 }, (_, n) => [`name${String(n)}`, 'x'])))],
];

/** What a session may say: frames with a type. */
const conversations: readonly (() => Buffer[])[] = [
  () => [message.query('select 1')],
  () => [message.query('select 1; select 2; select * from generate_series(1, 3)')],
  () => [message.query('')],
  () => [
    message.parse('select $1::int', 's', [23]),
    message.bind(['1'], { statement: 's' }),
    message.describe('P'),
    message.execute(),
    message.sync(),
  ],
  () => [
    message.parse('select $1::text, $2::bytea', '', [25, 17]),
    message.bind(['a', Buffer.from([0, 1])], { results: [0, 1] }),
    message.execute('', 1),
    message.execute(),
    message.sync(),
  ],
  () => [
    message.bind([], { statement: 'none' }),
    message.describe('S', 'none'),
    message.close('S', 'none'),
    message.close('P', 'p'),
    message.flush(),
    message.sync(),
  ],
  () => [
    message.query('copy scratch from stdin'),
    message.copyData('1\ta\n'),
    message.copyData('2\tb\n'),
    message.copyDone(),
  ],
  () => [
    message.query('copy scratch from stdin'),
    message.copyData('1\ta\n'),
    message.query('select 1'),
    message.copyFail('enough'),
  ],
  () => [
    message.parse('copy scratch from stdin'),
    message.bind(),
    message.execute(),
    message.sync(),
    message.copyData('1\ta\n'),
    message.copyDone(),
    message.sync(),
  ],
  () => [message.query('copy (select 1) to stdout')],
  () => [message.copyData('out of place'), message.copyDone(), message.copyFail('x'), message.query('select 1')],
  () => Array.from({ length: 200 }, () => message.sync()),
  () => Array.from({ length: 50 }, (_, n) => message.parse('select 1', `s${String(n)}`)),
  () => [message.functionCall(1242), message.sync()],
  () => [message.query('begin'), message.query('select 1/0'), message.query('select 1'), message.query('rollback')],
  () => [message.password('again')],
  () => [message.terminate(), message.query('select 1')],
];

export interface Corrupted {
  readonly what: string;
  readonly bytes: Buffer;
  /** Where it is cut in two on its way. */
  readonly cut: number;
}

function corrupt(bases: readonly (() => Buffer[])[], lengthAt: number, seed: number): Corrupted {
  const from = random(seed);
  let frames = from.pick(bases)();
  const done: string[] = [];
  for (let count = 1 + from.below(2); count > 0; count--) {
    const what = from.pick(Object.keys(corruptions));
    frames = corruptions[what]!(frames, from, lengthAt).filter((frame) => frame.length > 0);
    done.push(what);
    if (frames.length === 0) break;
  }
  const bytes = Buffer.concat(frames);
  return { what: done.join(', '), bytes, cut: from.below(bytes.length + 1) };
}

export const corruptGreeting = (seed: number): Corrupted => corrupt(greetings, 0, seed);
export const corruptConversation = (seed: number): Corrupted => corrupt(conversations, 1, seed);
