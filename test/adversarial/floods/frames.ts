import { HeaderWriter } from '../../../gateway/protocols/kubernetes/streams/spdy-headers.js';
import { dataFrame, openFrame, replyFrame } from '../../../gateway/protocols/kubernetes/streams/spdy.js';
import { random, type Random } from '../corruptions.js';

/** Malformed frames of the streams that Kubernetes has: of WebSocket itself, of its channels, and of SPDY inside of it. */

export const protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'SPDY/3.1+portforward.k8s.io', 'ports'] as const;
export type StreamProtocol = (typeof protocols)[number];

export interface MalformedFrames {
  readonly number: number;
  readonly what: string;
  readonly protocol: StreamProtocol;
  readonly from: 'client' | 'server';
  readonly bytes: Buffer;
  /** Its sender says nothing more, and has ended his side: it may be only the beginning of something. */
  readonly leaves: boolean;
}

interface Framing {
  readonly fin?: boolean;
  readonly reserved?: number;
  readonly masked?: boolean;
}

/** RFC 6455, 5.2. A client masks, with zeros here; a server does not. */
function frame(opcode: number, payload: Buffer, { fin = true, reserved = 0, masked = true }: Framing): Buffer {
  const { length } = payload;
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([first, mask | length])
      : length < 65_536
        ? Buffer.from([first, mask | 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([first, mask | 127]), long(length)]);
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0), payload]);
}

function long(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

/** What WebSocket itself does not allow, whoever says it. */
const ofWebSocket: Readonly<Record<string, (from: Random, masked: boolean) => Buffer>> = {
  'an opcode that is none': (from, masked) =>
    frame(from.pick([3, 4, 5, 6, 7, 11, 12, 15]), Buffer.from('\0x'), { masked }),
  'a reserved bit': (from, masked) => frame(2, Buffer.from('\0x'), { masked, reserved: from.pick([1, 2, 4, 7]) }),
  'the mask of the other side': (_from, masked) => frame(2, Buffer.from('\0x'), { masked: !masked }),
  'a text that is no UTF-8': (from, masked) =>
    frame(1, Buffer.from([0, 0xc3, from.pick([0x28, 0xff, 0xc0])]), { masked }),
  'a control frame in parts': (from, masked) => frame(from.pick([8, 9, 10]), Buffer.alloc(2), { masked, fin: false }),
  'a control frame that is too long': (from, masked) => frame(from.pick([8, 9, 10]), Buffer.alloc(126), { masked }),
  'a part of nothing': (from, masked) => frame(0, Buffer.from('\0x'), { masked, fin: from.below(2) === 0 }),
  'a beginning within another': (from, masked) =>
    Buffer.concat([
      frame(2, Buffer.from([0]), { masked, fin: false }),
      frame(from.pick([1, 2]), Buffer.from([0]), { masked }),
    ]),
  'a length that nobody has': (from, masked) =>
    Buffer.concat([
      Buffer.from([0x82, (masked ? 0x80 : 0) | 127]),
      from.pick([Buffer.from('8000000000000000', 'hex'), Buffer.from('ffffffffffffffff', 'hex'), long(2 ** 40)]),
    ]),
  'a message that is too long': (_from, masked) =>
    Buffer.concat([Buffer.from([0x82, (masked ? 0x80 : 0) | 127]), long(4_194_305)]),
  'an end of one byte': (_from, masked) => frame(8, Buffer.from([3]), { masked }),
  'an end for no reason': (from, masked) =>
    frame(
      8,
      from.pick([Buffer.from([0, 1]), Buffer.from([3, 0xec]), Buffer.from([3, 0xee]), Buffer.from([0xff, 0xff])]),
      { masked },
    ),
  'an end whose reason is no UTF-8': (_from, masked) => frame(8, Buffer.from([3, 0xe8, 0xff, 0xfe]), { masked }),
};

/** Whatever comes: it may be a beginning, or by chance what is allowed. */
const garbled: Readonly<Record<string, (from: Random, masked: boolean, protocol: StreamProtocol) => Buffer>> = {
  'bytes without a meaning': (from) => from.bytes(1 + from.below(200)),
  'the beginning of a frame': (from, masked) => {
    const whole = frame(2, from.bytes(200), { masked });
    return whole.subarray(0, 1 + from.below(whole.length - 1));
  },
  'a message without a meaning': (from, masked) => frame(2, from.bytes(1 + from.below(300)), { masked }),
  'flipped bits': (from, masked, protocol) => {
    const bytes = Buffer.concat(well(protocol, masked));
    for (let count = 1 + from.below(4); count > 0; count--) bytes[from.below(bytes.length)]! ^= 1 << from.below(8);
    return bytes;
  },
};

const isSpdy = (protocol: StreamProtocol) => protocol.startsWith('SPDY');

/** What a well-behaved side says. */
function well(protocol: StreamProtocol, masked: boolean): Buffer[] {
  const say = (payload: Buffer) => frame(2, payload, { masked });
  if (!isSpdy(protocol)) return [say(Buffer.from('\0hello')), say(Buffer.from('\x04{"Width":80,"Height":24}'))];
  const headers = new HeaderWriter();
  return [
    say(openFrame(1, headers.write({ streamtype: 'error', port: '8080', requestid: '0' }))),
    say(openFrame(3, headers.write({ streamtype: 'data', port: '8080', requestid: '0' }))),
    say(dataFrame(3, Buffer.from('hello'), false)),
  ];
}

/** Messages of channels that are not for the one who says them. */
const channelMessages = {
  client: {
    v5: [[], [1, 65], [2], [3, 65], [5], [77, 1], [254], [255], [255, 1], [255, 0, 0], [255, 255]],
    v4: [[], [1, 65], [2], [3, 65], [5], [255], [255, 0]],
    // One port, and so two channels; that of errors is not the client's.
    ports: [[], [1, 65], [2, 65], [3], [255, 0]],
  },
  server: {
    v5: [[], [0, 65], [4, 65], [5], [254, 1], [255, 1]],
    v4: [[], [0, 65], [4], [255, 1]],
    ports: [[], [2, 65], [3, 65], [255]],
  },
};

function channelMessage(from: Random, protocol: StreamProtocol, side: 'client' | 'server'): Buffer {
  const known = channelMessages[side];
  const bytes = protocol === 'ports' ? known.ports : protocol.startsWith('v5') ? known.v5 : known.v4;
  return Buffer.from(from.pick<readonly number[]>(bytes));
}

/** Messages of SPDY that nobody may say. */
function spdyMessage(from: Random, side: 'client' | 'server'): Buffer {
  const headers = () => new HeaderWriter().write({ streamtype: 'error', port: '8080', requestid: '0' });
  const control = (type: number, length: number, payload: Buffer = Buffer.alloc(0), version = 0x8003) => {
    const head = Buffer.alloc(8);
    head.writeUInt16BE(version);
    head.writeUInt16BE(type, 2);
    head.writeUInt32BE(length, 4);
    return Buffer.concat([head, payload]);
  };
  const either: readonly (() => Buffer)[] = [
    () => control(from.pick([0, 5, 10, 99, 0xffff]), 0),
    () => control(1, 4, Buffer.alloc(4), from.pick([0x8001, 0x8002, 0x8004, 0xffff])),
    () => control(from.pick([1, 2, 3, 6]), 1_000_000),
    () => control(1, 8, from.bytes(8)),
    () => control(3, 4, Buffer.alloc(4)),
    () => control(6, 2, Buffer.alloc(2)),
    () => Buffer.concat([Buffer.from([0, 0, 0, 1, 0]), Buffer.from([0xff, 0xff, 0xff])]),
  ];
  if (side === 'server') return from.pick([...either, () => openFrame(2, headers())])();
  return from.pick<() => Buffer>([
    ...either,
    () => openFrame(from.pick([0, 2, 4]), headers()),
    () => openFrame(1, from.bytes(30)),
    () => openFrame(1, Buffer.from('789c', 'hex')),
    () => openFrame(1, Buffer.alloc(8_000)),
    () => replyFrame(1, Buffer.alloc(0)),
    () => Buffer.concat([openFrame(3, headers()), openFrame(from.pick([1, 3]), headers())]),
    () => Buffer.concat([openFrame(1, headers()), dataFrame(1, Buffer.from('x'), false)]),
  ])();
}

/** Makes a case out of its number: the same each time. */
export function malformedFrames(number: number): MalformedFrames {
  const from = random(number);
  const protocol = from.pick(protocols);
  const side = from.pick(['client', 'client', 'server'] as const);
  const masked = side === 'client';
  const made = (what: string, bytes: Buffer, leaves = false) => ({ number, what, protocol, from: side, bytes, leaves });
  switch (from.below(3)) {
    case 0: {
      const [what, make] = from.pick(Object.entries(ofWebSocket));
      return made(what, make(from, masked));
    }
    case 1: {
      const message = isSpdy(protocol) ? spdyMessage(from, side) : channelMessage(from, protocol, side);
      const before = from.below(2) === 0 ? [] : [frame(9, Buffer.from('ping'), { masked })];
      return made('a message that nobody may say', Buffer.concat([...before, frame(2, message, { masked })]));
    }
    default: {
      const [what, make] = from.pick(Object.entries(garbled));
      return made(what, make(from, masked, protocol), true);
    }
  }
}
