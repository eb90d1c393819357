import { maskInPlace, maskText } from '../../../content/index.js';
import type { Looks } from './content.js';

/**
 * Patterns in values in binary format: text, JSON, arrays, composites and numbers. What cannot be seen through becomes
 * NULL: nothing can be said of what is in it.
 */

const textual: ReadonlySet<number> = new Set([18, 19, 25, 705, 1042, 1043, 142, 1790, 2275]);
const jsonType = 114;
/** [version: byte][text] */
const versioned: ReadonlySet<number> = new Set([3802, 4072]);
const int8 = 20;
const numeric = 1700;
const float8 = 701;
const record = 2249;
/** Shorter values hold nothing that is looked for, in whatever form. */
const harmless_bytes_max = 5;
/** Built-in types whose binary form has no text in it and no number of thirteen digits. */
const without: ReadonlySet<number> = new Set([
  // bool, bytea, int2, int4, oid and its kin, tid, xid, cid, xid8, pg_lsn
  16, 17, 21, 22, 23, 24, 26, 27, 28, 29, 30, 5069, 3220, 2202, 2203, 2204, 2205, 2206, 4089, 4096, 3734, 3769, 4191,
  // float4, money, dates and times, uuid, addresses, bits, geometry
  700, 790, 1082, 1083, 1114, 1184, 1186, 1266, 2950, 869, 650, 829, 774, 1560, 1562, 600, 601, 602, 603, 604, 628, 718,
  // ranges of int4, int8, numeric, dates and times, and sets of them; void
  3904, 3906, 3908, 3910, 3912, 3926, 4451, 4532, 4533, 4534, 4535, 4536, 2278,
]);
const depth_max = 16;

/** Gives the value's new end; -1 where it becomes NULL. */
export function maskBinary(buffer: Buffer, start: number, end: number, type: number, looks: Looks, depth = 0): number {
  if (without.has(type)) return end;
  if (textual.has(type)) return maskInPlace(buffer, start, end, looks.text);
  if (type === jsonType) return maskInPlace(buffer, start, end, looks.json);
  if (versioned.has(type)) return maskInPlace(buffer, start + 1, end, type === 3802 ? looks.json : looks.text);
  if (type === int8) return maskInt8(buffer, start, end, looks);
  if (type === float8) return maskFloat8(buffer, start, end, looks);
  if (type === numeric) return maskNumeric(buffer, start, end, looks);
  if (end - start <= harmless_bytes_max) return end;
  if (depth < depth_max) {
    // Enumerations, and text of types that extensions bring.
    if (type !== record && isPrintable(buffer, start, end)) return maskInPlace(buffer, start, end, looks.text);
    const array = layoutOfArray(buffer, start, end);
    if (type !== record && array !== undefined) return maskElements(buffer, end, array, looks, depth);
    const composite = layoutOfRecord(buffer, start, end);
    if (composite !== undefined) return maskElements(buffer, end, composite, looks, depth);
  }
  return -1;
}

const found = (digits: string, { number }: Looks) => maskText(digits, number) === '0';

function maskInt8(buffer: Buffer, start: number, end: number, looks: Looks): number {
  if (end - start !== 8) return -1;
  const value = buffer.readBigInt64BE(start);
  if (found(String(value < 0 ? -value : value), looks)) buffer.fill(0, start, end);
  return end;
}

function maskFloat8(buffer: Buffer, start: number, end: number, looks: Looks): number {
  if (end - start !== 8) return -1;
  const value = Math.abs(buffer.readDoubleBE(start));
  if (value < 1e20 && found(BigInt(Math.trunc(value)).toString(), looks)) buffer.fill(0, start, end);
  return end;
}

/** [digits: int16][weight: int16][sign: int16][scale: int16][digit: int16]…, of base 10 000, the first of them times 10 000^weight. */
function maskNumeric(buffer: Buffer, start: number, end: number, looks: Looks): number {
  if (end - start < 8) return -1;
  const count = buffer.readInt16BE(start);
  const weight = buffer.readInt16BE(start + 2);
  if (count < 0 || end - start !== 8 + 2 * count) return -1;
  if (weight < 3 || weight > 4) return end;
  let whole = '';
  for (let digit = 0; digit <= weight; digit++) {
    const value = digit < count ? buffer.readInt16BE(start + 8 + 2 * digit) : 0;
    whole += String(value).padStart(4, '0');
  }
  if (!found(whole.replace(/^0+/, ''), looks)) return end;
  buffer.fill(0, start, start + 8);
  return start + 8;
}

function isPrintable(buffer: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = buffer[at]!;
    if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return false;
  }
  return true;
}

/** Where the parts of a value lie: each has its length (an int32, -1 for NULL) right in front of it. */
interface Part {
  readonly type: number;
  readonly at: number;
  readonly length: number;
}

/** [dimensions: int32][has NULLs: int32][type: oid]([size: int32][from: int32])…([length: int32][value])… */
function layoutOfArray(buffer: Buffer, start: number, end: number): readonly Part[] | undefined {
  if (end - start < 12) return undefined;
  const dimensions = buffer.readInt32BE(start);
  const nulls = buffer.readInt32BE(start + 4);
  if (dimensions < 0 || dimensions > 6 || nulls < 0 || nulls > 1) return undefined;
  const type = buffer.readUInt32BE(start + 8);
  let at = start + 12 + 8 * dimensions;
  if (at > end) return undefined;
  let count = dimensions === 0 ? 0 : 1;
  for (let each = 0; each < dimensions; each++) count *= buffer.readInt32BE(start + 12 + 8 * each);
  const parts: Part[] = [];
  for (; count > 0 && at + 4 <= end; count--) {
    const length = buffer.readInt32BE(at);
    if (length < -1) return undefined;
    parts.push({ type, at, length });
    at += 4 + Math.max(length, 0);
  }
  return count === 0 && at === end ? parts : undefined;
}

/** [count: int32]([type: oid][length: int32][value])… */
function layoutOfRecord(buffer: Buffer, start: number, end: number): readonly Part[] | undefined {
  if (end - start < 4) return undefined;
  let count = buffer.readInt32BE(start);
  let at = start + 4;
  const parts: Part[] = [];
  for (; count > 0 && at + 8 <= end; count--) {
    const length = buffer.readInt32BE(at + 4);
    if (length < -1) return undefined;
    parts.push({ type: buffer.readUInt32BE(at), at: at + 4, length });
    at += 8 + Math.max(length, 0);
  }
  return count === 0 && at === end ? parts : undefined;
}

/** From the last to the first, so that what was not looked at yet stays where it is. */
function maskElements(buffer: Buffer, end: number, parts: readonly Part[], looks: Looks, depth: number): number {
  let last = end;
  for (let index = parts.length - 1; index >= 0; index--) {
    const { type, at, length } = parts[index]!;
    if (length <= 0) continue;
    const value = at + 4;
    const masked = maskBinary(buffer, value, value + length, type, looks, depth + 1);
    if (masked === value + length) continue;
    // Arrays say of themselves whether there are NULLs: what cannot be seen through takes the whole with it.
    if (masked < 0) return -1;
    buffer.copyWithin(masked, value + length, last);
    last -= value + length - masked;
    buffer.writeInt32BE(masked - value, at);
  }
  return last;
}
