import { int32, singles, WireError, type Wire } from './wire.js';
import { durationText, microtimeText, timeText } from './times.js';

/** What has a JSON of its own in Go: a message that is one value. */
export type Special = 'time' | 'microtime' | 'duration' | 'quantity' | 'int-or-string' | 'raw';

/** The JSON of one. Throws WireError. */
export const specials: Readonly<Record<Special, (wire: Wire) => string>> = {
  /** `Timestamp { int64 seconds = 1; int32 nanos = 2; }`; none at all is written as an empty message. */
  time: (wire) => (wire.done ? 'null' : JSON.stringify(timeText(...moment(wire, 'Time')))),
  microtime: (wire) => (wire.done ? 'null' : JSON.stringify(microtimeText(...moment(wire, 'MicroTime')))),
  /** `Duration { int64 duration = 1; }` */
  duration: (wire) =>
    JSON.stringify(durationText(BigInt.asIntN(64, singles(wire, 'meta/v1.Duration', ['varint']).varint(1)))),
  /** `Quantity { string string = 1; }` */
  quantity: (wire) => {
    const quantity = singles(wire, 'Quantity', ['bytes']);
    if (!quantity.has(1)) return '"0"';
    const text = quantity.bytes(1).text();
    if (text === '') throw new WireError('it has a quantity that is empty');
    return JSON.stringify(text);
  },
  /** `IntOrString { int64 type = 1; int32 intVal = 2; string strVal = 3; }` */
  'int-or-string': (wire) => {
    const either = singles(wire, 'IntOrString', ['varint', 'varint', 'bytes']);
    const [type, number, text] = [either.varint(1), int32(either.varint(2)), either.bytes(3).text()];
    if (type === 0n && text === '') return String(number);
    if (type === 1n && number === 0) return JSON.stringify(text);
    throw new WireError('it has what is a number and a text at once, or neither (IntOrString)');
  },
  /** `RawExtension { bytes raw = 1; }`, and others that hold JSON as it is. */
  raw: (wire) => {
    const raw = singles(wire, 'RawExtension', ['bytes']);
    return raw.has(1) ? jsonIn(raw.bytes(1).text()) : 'null';
  },
};

function moment(wire: Wire, name: string): [bigint, number] {
  const time = singles(wire, `meta/v1.${name}`, ['varint', 'varint']);
  return [BigInt.asIntN(64, time.varint(1)), int32(time.varint(2))];
}

/** One whole value, so that it cannot end what it stands in. */
function jsonIn(text: string): string {
  try {
    JSON.parse(text);
  } catch {
    throw new WireError('it has an object in it that is no JSON');
  }
  return text;
}
