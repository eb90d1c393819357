import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ProtocolError } from '../../gateway/errors.js';
import * as codec from '../../gateway/protocols/postgres/codec.js';
import { FrameReader } from '../../gateway/protocols/postgres/codec.js';
import { readStartup } from '../../gateway/protocols/postgres/wire/startup.js';
import { message } from '../support/wire.js';

/** What holds of the codec for all bytes, not for those that somebody thought of. */

const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
const whole = fc.record({ type: fc.integer({ min: 1, max: 255 }), body: bytes }).map(({ type, body }) => {
  const frame = Buffer.alloc(5 + body.length);
  frame[0] = type;
  frame.writeInt32BE(4 + body.length, 1);
  body.copy(frame, 5);
  return frame;
});
const word = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !text.includes('\0'));

/** Cuts at these places, wherever they fall. */
function chunks(all: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map((cut) => cut % (all.length + 1)))].sort((a, b) => a - b);
  return [0, ...at]
    .map((from, index) => all.subarray(from, at[index] ?? all.length))
    .filter((chunk) => chunk.length > 0);
}

/** Frames (parts put together again), or the error that ended them. */
function read(
  parts: readonly Buffer[],
  streamed: (type: number) => boolean,
): { frames: string[]; error?: string; rest: number } {
  const reader = new FrameReader(streamed, 10_000);
  const frames: string[] = [];
  let pieces: Buffer[] = [];
  try {
    for (const part of parts) {
      reader.push(part);
      while (reader.next()) {
        if (reader.first) pieces = [];
        pieces.push(Buffer.from(reader.buffer.subarray(reader.start, reader.end)));
        if (reader.last) frames.push(Buffer.concat(pieces).toString('hex'));
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { frames, error: error.message, rest: 0 };
  }
  return { frames, rest: reader.waiting };
}

const even = (type: number) => type % 2 === 0;
const never = () => false;

describe('frames', () => {
  test('are the same however they are cut', () => {
    fc.assert(
      fc.property(fc.array(whole, { maxLength: 8 }), fc.array(fc.nat(), { maxLength: 12 }), (frames, cuts) => {
        const all = Buffer.concat(frames);
        const expected = { frames: frames.map((frame) => frame.toString('hex')), rest: 0 };
        expect(read(chunks(all, cuts), never)).toEqual(expected);
        expect(read(chunks(all, cuts), even)).toEqual(expected);
      }),
    );
  });

  test('of arbitrary bytes are frames, or a protocol error, and the same however they are cut', () => {
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(), { maxLength: 12 }), (all, cuts) => {
        const once = read(all.length === 0 ? [] : [all], never);
        const cut = read(chunks(all, cuts), never);
        expect({ frames: cut.frames, error: cut.error }).toEqual({ frames: once.frames, error: once.error });
        if (once.error === undefined) expect(once.frames.join('').length / 2 + once.rest).toBe(all.length);
      }),
    );
  });

  test('that are larger than the bound are refused before their bytes are kept', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10_001, max: 0x7fff_ffff }), (length) => {
        const head = Buffer.alloc(5, 0x51);
        head.writeInt32BE(length, 1);
        expect(read([head], never).error).toMatch(/invalid message length/);
      }),
    );
  });
});

describe('decoders', () => {
  const decoders = {
    query: codec.decodeQuery,
    parse: codec.decodeParse,
    bind: codec.decodeBind,
    named: codec.decodeNamed,
    execute: codec.decodeExecute,
    empty: codec.decodeEmpty,
    password: codec.decodePassword,
  };
  test.each(Object.keys(decoders) as (keyof typeof decoders)[])(
    '%s gives a message or a protocol error for any body',
    (name) => {
      fc.assert(
        fc.property(whole, (buffer) => {
          try {
            decoders[name]({ buffer, start: 0, end: buffer.length });
          } catch (error) {
            expect(error).toBeInstanceOf(ProtocolError);
          }
        }),
        { numRuns: 500 },
      );
    },
  );

  test('give back what was said, byte for byte', () => {
    const view = (buffer: Buffer) => ({ buffer, start: 0, end: buffer.length });
    const value = fc.option(bytes, { nil: null });
    fc.assert(
      fc.property(
        word,
        word,
        fc.array(fc.nat({ max: 100_000 }), { maxLength: 5 }),
        fc.array(value, { maxLength: 5 }),
        (one, two, types, values) => {
          expect(codec.decodeQuery(view(message.query(one)))).toBe(one);
          expect(codec.decodeParse(view(message.parse(one, two, types)))).toEqual({ name: two, text: one, types });
          const bind = codec.decodeBind(view(message.bind(values, { portal: one, statement: two })));
          expect(bind).toMatchObject({ portal: one, statement: two });
          expect(bind.values.map((given) => given?.toString('hex'))).toEqual(
            values.map((given) => given?.toString('hex')),
          );
          expect(codec.decodeNamed(view(message.describe('P', one)))).toEqual({ what: 'P', name: one });
          expect(codec.decodeExecute(view(message.execute(two, 7)))).toBe(two);
        },
      ),
    );
  });

  test('keep a byte order mark: it is a part of the text', () => {
    const buffer = message.query('\ufeffselect 1');
    expect(codec.decodeQuery({ buffer, start: 0, end: buffer.length })).toBe('\ufeffselect 1');
  });

  test('take no junk behind the terminator', () => {
    fc.assert(
      fc.property(word, fc.uint8Array({ minLength: 1, maxLength: 9 }), (text, junk) => {
        const buffer = Buffer.concat([message.query(text), junk]);
        buffer.writeInt32BE(buffer.length - 1, 1);
        expect(() => codec.decodeQuery({ buffer, start: 0, end: buffer.length })).toThrow(ProtocolError);
      }),
    );
  });
});

describe('start-up packets', () => {
  test('of arbitrary bytes are parameters, or a protocol error', () => {
    fc.assert(
      fc.property(bytes, (body) => {
        const packet = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 3, 0, 0]), body]);
        packet.writeInt32BE(packet.length, 0);
        try {
          readStartup(codec.decodeStartup(packet).parameters);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('pass on nothing but what is harmless, whatever the options are', () => {
    const option = fc.oneof(
      word,
      fc.constantFrom(
        '-c',
        '--',
        '\\',
        ' ',
        '=',
        'search_path',
        'role',
        '-crole=x',
        '--role=x',
        '-c role=x',
        '-c ro\\le=x',
      ),
    );
    fc.assert(
      fc.property(fc.array(option, { maxLength: 8 }), (options) => {
        try {
          const startup = readStartup(
            new Map([
              ['user', 'a'],
              ['options', options.join(' ')],
            ]),
          );
          for (const name of startup.settings.keys()) expect(name).toMatch(/^(enable_[a-z_]+|[A-Za-z_]+)$/);
          expect(startup.settings.has('role')).toBe(false);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});
