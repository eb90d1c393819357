import { createHash } from 'node:crypto';
import { fields, type Frame } from '../support/wire.js';

/**
 * What may differ between a session at the server and one through the gateway, and nothing else:
 *
 * - File, line and routine (F, L, R) of an error that the gateway gives itself in the server's words: it has none. Where
 *   they are given, they are the server's.
 * - Of syntax errors (42601) those three and the wording (M); severity, SQLSTATE and position are equal.
 * - The process that sent a notification: two sessions are two processes.
 * - OIDs of what an exchange creates: they come from a counter of the whole server. They are numbered in the order in
 *   which they appear; what was there before has equal OIDs on all sides, which are clones of one database.
 */
export interface Same {
  readonly direct: string[];
  readonly gateway: string[];
}

/** Both sides as lines, a line a message; equal where nothing but the above differs. `oids_max`: the highest of the clones. */
export function comparable(direct: readonly Frame[], gateway: readonly Frame[], oids_max: number): Same {
  const lines = (frames: readonly Frame[], others: readonly Frame[]) => {
    const oids = new Map<number, number>();
    return frames.map((frame, index) => line(frame, others[index], oids, oids_max));
  };
  return { direct: lines(direct, gateway), gateway: lines(gateway, direct) };
}

/** Longer messages are told by their beginning and a digest of the whole. */
const shown_bytes_max = 1_500;

function line(frame: Frame, other: Frame | undefined, oids: Map<number, number>, oids_max: number): string {
  if (frame.type === 'E')
    return `E ${JSON.stringify(error(fields(frame.body), other?.type === 'E' ? fields(other.body) : {}))}`;
  const body = Buffer.from(frame.body);
  if (frame.type === 'A') body.writeInt32BE(0, 0);
  if (frame.type === 'T' || frame.type === 't') {
    for (const at of frame.type === 'T' ? rowOids(body) : parameterOids(body)) {
      const oid = body.readUInt32BE(at);
      if (oid <= oids_max) continue;
      if (!oids.has(oid)) oids.set(oid, oids.size + 1);
      body.writeUInt32BE(0xffff0000 + (oids.get(oid) ?? 0), at);
    }
  }
  const text = JSON.stringify(body.subarray(0, shown_bytes_max).toString('latin1'));
  if (body.length <= shown_bytes_max) return `${frame.type} ${text}`;
  return `${frame.type} ${body.length} bytes ${createHash('sha256').update(body).digest('hex')} ${text}`;
}

function error(given: Record<string, string>, other: Record<string, string>): Record<string, string> {
  const shown = { ...given };
  const own = (one: Record<string, string>) => one['F'] === undefined;
  for (const field of ['F', 'L', 'R']) if (given['C'] === '42601' || own(given) || own(other)) delete shown[field];
  if (given['C'] === '42601') delete shown['M'];
  return shown;
}

/** Where the OIDs of tables and types stand in a RowDescription. */
function rowOids(body: Buffer): number[] {
  const places: number[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left--) {
    at = body.indexOf(0, at) + 1;
    places.push(at, at + 6);
    at += 18;
  }
  return places;
}

function parameterOids(body: Buffer): number[] {
  return Array.from({ length: body.readInt16BE(0) }, (_, index) => 2 + 4 * index);
}

/** An answer in one line, for the record: `T D×3 C Z(I)`, errors with their SQLSTATE. */
export function shapeOf(frames: readonly Frame[]): string {
  const parts: { text: string; count: number }[] = [];
  for (const { type, body } of frames) {
    const detail = type === 'E' ? (fields(body)['C'] ?? '') : type === 'Z' ? body.toString('latin1') : '';
    const text = detail === '' ? type : `${type}(${detail})`;
    const last = parts.at(-1);
    if (last?.text === text) last.count += 1;
    else parts.push({ text, count: 1 });
  }
  return parts.map(({ text, count }) => (count === 1 ? text : `${text}×${count}`)).join(' ');
}
