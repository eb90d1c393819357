import { createHash } from 'node:crypto';
import { constants, createDeflate, inflateSync, type Deflate } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { dictionary, HeaderReader, HeaderWriter, SpdyError } from './spdy-headers.js';
import { dataFrame, FrameReader, openFrame, pingFrame, replyFrame, resetFrame } from './spdy.js';

const prefixed = (text: string) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(Buffer.byteLength(text));
  return Buffer.concat([length, Buffer.from(text)]);
};
const block = (...pairs: (readonly [string, string])[]) => {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(pairs.length);
  return Buffer.concat([count, ...pairs.flat().map(prefixed)]);
};

/** What a stream says of these bytes, up to where a reader can go on. */
async function deflated(stream: Deflate, bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  const keep = (part: Buffer) => parts.push(part);
  stream.on('data', keep);
  stream.write(bytes);
  await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
  stream.off('data', keep);
  return Buffer.concat(parts);
}

test('the dictionary is that of SPDY/3', () => {
  expect(dictionary.length).toBe(1_423);
  // Of the text in the specification, appendix "headers".
  expect(createHash('sha256').update(dictionary).digest('hex')).toBe(
    '51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02',
  );
});

describe('headers', () => {
  test.each([
    ['with the dictionary', { dictionary }],
    ['without one', {}],
  ])('are read %s, block after block', async (_name, options) => {
    const stream = createDeflate(options);
    const reader = new HeaderReader();
    for (let port = 8_000; port < 8_040; port++) {
      const said = block(['port', String(port)], ['streamtype', 'data'], ['requestid', String(port * 7)]);
      const read = reader.read(await deflated(stream, said));
      expect([...read]).toEqual([
        ['port', String(port)],
        ['streamtype', 'data'],
        ['requestid', String(port * 7)],
      ]);
    }
    stream.close();
  });

  test('are written so that any reader of zlib understands them', () => {
    const writer = new HeaderWriter();
    const written = [writer.write({ port: '80', streamtype: 'error' }), writer.write({}), writer.write({ a: 'b' })];
    const text = inflateSync(Buffer.concat(written), { finishFlush: constants.Z_SYNC_FLUSH });
    expect(text).toEqual(Buffer.concat([block(['port', '80'], ['streamtype', 'error']), block(), block(['a', 'b'])]));
  });

  test.each([
    ['a name twice', block(['port', '80'], ['port', '22'])],
    ['two values in one', block(['port', '80\x0022'])],
    ['a name in large letters', block(['Port', '80'])],
    ['a length beyond the end', Buffer.concat([block(['port', '80']).subarray(0, -1)])],
    ['something behind the end', Buffer.concat([block(['port', '80']), Buffer.from('x')])],
    ['thousands of names', Buffer.from('7fffffff', 'hex')],
    ['much of one letter', block(['a', 'a'.repeat(1_000_000)])],
  ])('with %s are refused', async (_name, bytes) => {
    const stream = createDeflate({ dictionary });
    const compressed = await deflated(stream, bytes);
    stream.close();
    expect(() => new HeaderReader().read(compressed)).toThrow(SpdyError);
  });

  test.each(['', '78', '7801', '78bb00000000', '1f8b0800', '789c'])('that are no zlib (%s) are refused', (hex) => {
    expect(() => new HeaderReader().read(Buffer.from(hex, 'hex'))).toThrow(SpdyError);
  });
});

describe('frames', () => {
  const frames = [
    openFrame(1, Buffer.from('headers')),
    replyFrame(1, Buffer.from('12345678')),
    dataFrame(1, Buffer.from('hello'), false),
    dataFrame(1, Buffer.alloc(0), true),
    pingFrame(7),
    resetFrame(1, 5),
  ];
  const read = [
    { type: 'open', stream: 1, fin: false, headers: Buffer.from('headers') },
    { type: 'reply', stream: 1, fin: false },
    { type: 'data', stream: 1, fin: false, data: Buffer.from('hello') },
    { type: 'data', stream: 1, fin: true, data: Buffer.alloc(0) },
    { type: 'ping', id: 7 },
    { type: 'reset', stream: 1, status: 5 },
  ];

  test.each([1, 3, 8, 1_000])('are the same in pieces of %d bytes', (size) => {
    const all = Buffer.concat(frames);
    const reader = new FrameReader();
    const found = [];
    for (let at = 0; at < all.length; at += size) found.push(...reader.push(all.subarray(at, at + size)));
    expect(found).toEqual(read);
  });

  test.each([
    ['another version', '8002000100000000'],
    ['an unknown type', '800300ff00000000'],
    ['headers of their own', '8003000800000004' + '00000001'],
    ['a control frame of 16 MB', '8003000100ffffff'],
    ['data of 16 MB', '0000000100ffffff'],
    ['a stream that is cut short', '8003000100000004' + '00000001'],
    ['a stream of one direction', '800300010200000e' + '00'.repeat(14)],
    ['a ping of nothing', '8003000600000000'],
  ])('%s are refused', (_name, hex) => {
    expect(() => new FrameReader().push(Buffer.from(hex, 'hex'))).toThrow(SpdyError);
  });
});
