import { hash as digest, randomFillSync } from 'node:crypto';
import { nameOf } from './json.js';

/**
 * The chain over records. Each line ends in `"chain":{"previous":"…","hash":"…"}}`: the hash of the record before it by the same
 * writer, and its own. What is hashed is the line with two changes, and nothing is parsed and written anew for it:
 *
 *     {"version":1,…,"salt":"…","personal":{"principal":{…},"operation":{…}},"chain":{"previous":"p","hash":"h"}}   the line
 *     {"version":1,…,"personal":{"principal":"c1","operation":"c2"},"chain":{"previous":"p"}}                       what is hashed
 *
 * c is a commitment: SHA-256 of the salt of that value and its member as it stands ("principal":{…}). So a value can be
 * erased later: {"erased":"c"} stands in its place, dots in place of its salt, and the hash is what it was.
 * All of SHA-256 and salts is written as base64url without padding.
 */

/** SHA-256 in base64url. */
export const hash_chars = 43;
/** What the first record of a writer has as `previous`. */
export const genesis = 'A'.repeat(hash_chars);
/** In base64url: 132 bits for each member of `personal`, in their order. */
export const salt_chars = 22;
const noSalt = '.'.repeat(salt_chars);

/** Random bytes are drawn ahead for this many salts: one call for each would cost more than the rest of a record. */
const salts = 256;
const pool = Buffer.alloc((salt_chars * salts * 6) / 8);
let drawn = '';
let next = salts;

function salt(): string {
  if (next === salts) {
    drawn = randomFillSync(pool).toString('base64url');
    next = 0;
  }
  const start = next * salt_chars;
  next += 1;
  return drawn.slice(start, start + salt_chars);
}

/**
 * One member of `personal`, written already: "name":value. Who writes the same into many records keeps one: its salt and its
 * commitment are made once.
 */
export class Part {
  /** With its quotes and colon. */
  readonly name: string;
  readonly text: string;
  readonly salt = salt();
  commitment: string | undefined;

  /** @param json The value, written already. */
  constructor(name: string, json: string) {
    this.name = nameOf(name);
    this.text = this.name + json;
  }
}

/** A record without its end. */
export interface Unsealed {
  /** From the first brace on, up to what stands before `salt` and `personal`. */
  readonly head: string;
  readonly parts: readonly Part[];
}

const saltMark = ',"salt":"';
const personalMark = '","personal":{';
const previousMark = ',"chain":{"previous":"';
const hashMark = '","hash":"';
const endMark = '"}}';
/** From `,"chain"` to the last brace. */
const tail_bytes = previousMark.length + hash_chars + hashMark.length + hash_chars + endMark.length;
/** UTF-8 takes at most so many bytes for what JavaScript counts as one character. */
const char_bytes_max = 3;

/** An upper bound of the bytes that `seal` writes. */
export function sealed_bytes_max({ head, parts }: Unsealed): number {
  let chars = head.length;
  for (const { text } of parts) chars += text.length + 1;
  return chars * char_bytes_max + parts.length * salt_chars + saltMark.length + personalMark.length + tail_bytes + 2;
}

/** Where what is hashed is put together. One, as nothing of it outlives a call. */
let scratch = Buffer.allocUnsafeSlow(65_536);

function room(bytes: number): Buffer {
  if (scratch.length < bytes) scratch = Buffer.allocUnsafeSlow(bytes * 2);
  return scratch;
}

/** Writes one line with its line end into the buffer, which has room for it. Returns where it ends, and its hash. */
export function seal(buffer: Buffer, start: number, { head, parts }: Unsealed, previous: string): Sealed {
  let at = start + buffer.write(head, start);
  const head_end = at;
  let commitments = '';
  if (parts.length > 0) {
    let slices = '';
    for (const part of parts) slices += part.salt;
    at += buffer.write(saltMark + slices + personalMark, at, 'latin1');
    for (const part of parts) {
      if (commitments !== '') buffer[at++] = comma;
      const member = at;
      at += buffer.write(part.text, at);
      part.commitment ??= commit(part.salt, buffer, member, at);
      commitments += `${commitments === '' ? '' : ','}${part.name}"${part.commitment}"`;
    }
    buffer[at++] = closing;
  }
  const hash = hashOf(buffer, start, head_end, commitments, previous);
  at += buffer.write(`${previousMark}${previous}${hashMark}${hash}${endMark}\n`, at, 'latin1');
  return { end: at, hash };
}

export interface Sealed {
  readonly end: number;
  readonly hash: string;
}

const comma = 0x2c;
const quoteMark = 0x22;
const colon = 0x3a;
const backslash = 0x5c;
const opening = 0x7b;
const closing = 0x7d;
const openingList = 0x5b;
const closingList = 0x5d;

function commit(salt: string, bytes: Buffer, start: number, end: number): string {
  const into = room(salt_chars + end - start);
  into.write(salt, 0, 'latin1');
  bytes.copy(into, salt_chars, start, end);
  return digest('sha256', into.subarray(0, salt_chars + end - start), 'base64url');
}

function hashOf(bytes: Buffer, start: number, head_end: number, commitments: string, previous: string): string {
  const middle = `${commitments === '' ? '' : `,"personal":{${commitments}}`}${previousMark}${previous}${endMark}`;
  const head_bytes = head_end - start;
  const into = room(head_bytes + middle.length * char_bytes_max);
  bytes.copy(into, 0, start, head_end);
  const length = head_bytes + into.write(middle, head_bytes);
  return digest('sha256', into.subarray(0, length), 'base64url');
}

/** A line of a file, taken apart by its bytes. */
export interface SealedLine {
  /** Without the line end. */
  readonly bytes: Buffer;
  readonly head_end: number;
  readonly members: readonly Member[];
  readonly previous: string;
  /** What the line says its hash is. */
  readonly hash: string;
}

interface Member {
  /** With its quotes and colon. */
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** Undefined where the value was erased; then its commitment stands in its place. */
  readonly salt: string | undefined;
  readonly erased: string | undefined;
}

/** Undefined for what has not exactly the form that `seal` and `erase` write. */
export function unseal(bytes: Buffer): SealedLine | undefined {
  const body_end = bytes.length - tail_bytes;
  if (body_end <= 0 || bytes[0] !== opening) return undefined;
  const tail = bytes.toString('latin1', body_end, bytes.length);
  const [, previous, hash] = tailForm.exec(tail) ?? [];
  if (previous === undefined || hash === undefined) return undefined;
  if (bytes[body_end - 1] === closing) {
    for (let at = bytes.indexOf(saltMark); at !== -1 && at < body_end; at = bytes.indexOf(saltMark, at + 1)) {
      const members = membersAt(bytes, at, body_end);
      if (members !== undefined) return { bytes, head_end: at, members, previous, hash };
    }
  }
  return { bytes, head_end: body_end, members: [], previous, hash };
}

const tailForm = /^,"chain":\{"previous":"([A-Za-z0-9_-]{43})","hash":"([A-Za-z0-9_-]{43})"\}\}$/u;
const saltsForm = /^(?:[A-Za-z0-9_-]{22}|\.{22})+$/u;
const erasedForm = /^\{"erased":"([A-Za-z0-9_-]{43})"\}$/u;

/** The members of `personal`, where salts and `personal` stand at `at` and are the last before `body_end`. */
function membersAt(bytes: Buffer, at: number, body_end: number): Member[] | undefined {
  const salts_start = at + saltMark.length;
  const salts_end = bytes.indexOf(quoteMark, salts_start);
  const personal = salts_end + personalMark.length;
  if (salts_end === -1 || personal >= body_end) return undefined;
  if (bytes.toString('latin1', salts_end, personal) !== personalMark) return undefined;
  const slices = bytes.toString('latin1', salts_start, salts_end);
  if (!saltsForm.test(slices)) return undefined;
  const members: Member[] = [];
  const end = body_end - 1;
  for (let start = personal; start < end;) {
    const name_end = memberNameEnd(bytes, start, end);
    if (name_end === undefined) return undefined;
    const value_end = valueEnd(bytes, name_end, end);
    if (value_end === name_end || (bytes[value_end] !== comma && value_end !== end)) return undefined;
    const own = slices.slice(members.length * salt_chars, (members.length + 1) * salt_chars);
    const erased = own === noSalt ? erasedForm.exec(bytes.toString('latin1', name_end, value_end))?.[1] : undefined;
    if (own === '' || (own === noSalt && erased === undefined)) return undefined;
    const salt = own === noSalt ? undefined : own;
    members.push({ name: bytes.toString('utf8', start, name_end), start, end: value_end, salt, erased });
    start = value_end + 1;
  }
  return members.length * salt_chars === slices.length ? members : undefined;
}

function memberNameEnd(bytes: Buffer, start: number, end: number): number | undefined {
  if (bytes[start] !== quoteMark) return undefined;
  const close = stringEnd(bytes, start, end);
  return bytes[close] === colon ? close + 1 : undefined;
}

/** Behind the closing quote of the string that opens at `start`. */
function stringEnd(bytes: Buffer, start: number, end: number): number {
  for (let at = start + 1; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === backslash) at += 1;
    else if (byte === quoteMark) return at + 1;
  }
  return end;
}

/** Where the value that starts at `start` ends: at the comma or brace that belongs to what is around it. */
function valueEnd(bytes: Buffer, start: number, end: number): number {
  let depth = 0;
  for (let at = start; at < end; at += 1) {
    switch (bytes[at]) {
      case quoteMark:
        at = stringEnd(bytes, at, end) - 1;
        break;
      case opening:
      case openingList:
        depth += 1;
        break;
      case closing:
      case closingList:
        depth -= 1;
        if (depth < 0) return at;
        break;
      case comma:
        if (depth === 0) return at;
        break;
      default:
        break;
    }
  }
  return end;
}

/** What the hash of the line should be, were `previous` the hash of the record before it. */
export function expectedHash(line: SealedLine, previous = line.previous): string {
  return hashOf(line.bytes, 0, line.head_end, commitmentsOf(line), previous);
}

/** Who writes the same into many records keeps its salt: values that were met lately are compared instead of hashed again. */
const met_max = 1_024;
const met_bytes_max = 16_384;
const met = new Map<string, { readonly member: Buffer; readonly commitment: string }>();

function checkedCommitment(salt: string, bytes: Buffer, start: number, end: number): string {
  const known = met.get(salt);
  if (known !== undefined && known.member.compare(bytes, start, end) === 0) return known.commitment;
  const commitment = commit(salt, bytes, start, end);
  if (end - start > met_bytes_max) return commitment;
  // Only what is met a second time is worth a copy of it.
  if (seenOnce.delete(salt)) {
    if (met.size >= met_max) met.clear();
    met.set(salt, { member: Buffer.from(bytes.subarray(start, end)), commitment });
  } else {
    if (seenOnce.size >= 4 * met_max) seenOnce.clear();
    seenOnce.add(salt);
  }
  return commitment;
}

const seenOnce = new Set<string>();

function commitmentsOf({ bytes, members }: SealedLine): string {
  let text = '';
  for (const { name, start, end, salt, erased } of members) {
    const commitment = salt === undefined ? erased : checkedCommitment(salt, bytes, start, end);
    text += `${text === '' ? '' : ','}${name}"${commitment}"`;
  }
  return text;
}

/** The line with another record before it; with its line end. The line has the form of `seal`. */
export function reseal(content: Buffer, previous: string): { readonly content: Buffer; readonly hash: string } {
  const line = unseal(content.at(-1) === 0x0a ? content.subarray(0, -1) : content);
  if (line === undefined) throw new Error('a line of our own cannot be read');
  const hash = expectedHash(line, previous);
  const tail = `${previousMark}${previous}${hashMark}${hash}${endMark}\n`;
  const again = Buffer.allocUnsafe(line.bytes.length + 1);
  line.bytes.copy(again, 0, 0, line.bytes.length - tail_bytes);
  again.write(tail, line.bytes.length - tail_bytes, 'latin1');
  return { content: again, hash };
}

/** The line without the values of those members, whose commitments stay; without a line end. Undefined where none is left to erase. */
export function erase(line: SealedLine, which: (name: string) => boolean): Buffer | undefined {
  const { bytes, head_end, members } = line;
  const gone = members.map(({ name, salt }) => salt !== undefined && which(JSON.parse(name.slice(0, -1)) as string));
  if (!gone.includes(true)) return undefined;
  const slices = members.map(({ salt }, index) => (gone[index]! ? noSalt : (salt ?? noSalt))).join('');
  const values = members.map(({ name, start, end, salt, erased }, index) => {
    if (!gone[index]!) return bytes.subarray(start, end);
    return Buffer.from(`${name}{"erased":"${salt === undefined ? erased : commit(salt, bytes, start, end)}"}`);
  });
  return Buffer.concat([
    bytes.subarray(0, head_end),
    Buffer.from(saltMark + slices + personalMark),
    ...values.flatMap((value, index) => (index === 0 ? [value] : [Buffer.from(','), value])),
    Buffer.from('}'),
    bytes.subarray(bytes.length - tail_bytes),
  ]);
}
