import { ProtocolError } from '../../../errors.js';
import { BodyReader } from '../codec.js';
import { noKinds, type Kinds } from '../../../content/index.js';
import { maskNotice } from './content.js';
import type { FrameReader, FrameView } from '../wire/frames.js';

/**
 * The second line behind rewriting: what the server says is looked at once more before the client sees it. Errors and
 * notices lose what may hold a row's values, positions are told in the client's own text, and a description that shows a
 * masked column as it stands in its table ends the session.
 */
export interface Guard {
  /** Columns that no RowDescription may show, as `${oid}.${attribute number}`. */
  readonly hidden: ReadonlySet<string>;
  /** What errors and notices may say beyond their message. */
  readonly details: Details;
  /** Masks that let the statement see clear values, or filters beside its own conditions: messages about data hold them. */
  readonly withheld: boolean;
  /** The server describes rows before it looks at any: what fails earlier has no values in it. */
  readonly describes: boolean;
  /** It writes: the end of its transaction may still say something of its rows. */
  readonly lasts: boolean;
  /** Patterns that are looked for in whatever goes to the client. */
  readonly content: Kinds;
  /** A 1-based position in what was sent as one in the client's text. */
  position(sent: number): number | undefined;
}

/** 'drop', or only of those relations ("schema"."name") that nothing is masked in. */
export type Details =
  'keep' | 'drop' | { readonly harmless: ReadonlySet<string>; readonly harmful: ReadonlySet<string> };

/** How a relation stands in `Details`. */
export const relationKey = (schema: string, name: string): string => JSON.stringify([schema, name]);

/**
 * The stricter of two: what one statement of a transaction, or one part of a string, asks for holds for all of it.
 * Positions are the second's.
 */
export function stricter(one: Guard | undefined, other: Guard | undefined): Guard | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return {
    hidden: one.hidden.size === 0 ? other.hidden : new Set([...one.hidden, ...other.hidden]),
    details: stricterDetails(one.details, other.details),
    withheld: one.withheld || other.withheld,
    describes: one.describes && other.describes,
    lasts: one.lasts || other.lasts,
    content: one.content | other.content,
    position: (sent) => other.position(sent),
  };
}

/** What of it holds for the rest of the transaction. */
export const lasting = (guard: Guard): Guard => ({ ...guard, hidden: nothing, position: (sent) => sent });

const nothing: ReadonlySet<string> = new Set();

const patterns = new Map<string, Guard>();

/** The guard with these patterns, whichever it had. */
export function withContent(guard: Guard | undefined, content: Kinds, lasts: boolean): Guard | undefined {
  if (guard !== undefined)
    return guard.content === content ? guard : { ...guard, content, lasts: guard.lasts || lasts };
  if (content === noKinds) return undefined;
  const key = `${content} ${String(lasts)}`;
  let known = patterns.get(key);
  if (known === undefined) {
    known = {
      hidden: nothing,
      details: 'keep',
      withheld: false,
      describes: true,
      lasts,
      content,
      position: (sent) => sent,
    };
    patterns.set(key, known);
  }
  return known;
}

function stricterDetails(one: Details, other: Details): Details {
  if (one === 'drop' || other === 'drop') return 'drop';
  if (one === 'keep' || other === 'keep') return one === 'keep' ? other : one;
  // Each statement knows of the relations that it touches alone.
  const harmful = new Set([...one.harmful, ...other.harmful]);
  return { harmless: new Set([...one.harmless, ...other.harmless].filter((name) => !harmful.has(name))), harmful };
}

/** SQLSTATE classes whose messages quote what an expression held: data, routines, raised by hand. */
const quoting = /^(?:00|01|02|2[0-2]|2F|38|39|44|P0|XX)/;

/** Classes that speak of the connection, the transaction and the server alone. */
const ofTheServer = /^(?:08|25|26|34|40|53|55P03|57)/;

const notice_response = 0x4e;

/** The message in place of one that is withheld. */
const withheldMessage = (type: number | undefined, sqlstate: string) =>
  type === notice_response
    ? `a notice of SQLSTATE ${sqlstate} is withheld: it may hold values that are masked`
    : `the statement met an error of SQLSTATE ${sqlstate} (its message may hold values that are masked, and is withheld)`;

/** What the condition of a statement says that fails where a relation is no longer what was judged (sql/rewrite/unchanged.ts). */
const outdated = /"sallyport: (.*) has changed"/s;

/** Whether an error says so. */
export const isOutdated = (message: string): boolean => outdated.test(message);

/** serialization_failure: what drivers and frameworks that retry at all retry. */
const outdatedSqlstate = '40001';
const outdatedMessage = (relation: string) =>
  `${relation} has changed since the statement was judged: send the transaction again`;

/**
 * ErrorResponse or NoticeResponse without what may hold values; undefined where it loses nothing. `isRunning`: the statement
 * is past its analysis, and what the server says of any SQLSTATE may quote a clear value: email::regclass knows no such relation.
 */
export function scrub(frame: FrameView, guard: Guard, isRunning = false): Buffer | undefined {
  const scrubbed = withoutValues(frame, guard, isRunning);
  if (guard.content === noKinds) return scrubbed;
  const rest = scrubbed === undefined ? frame : { buffer: scrubbed, start: 0, end: scrubbed.length };
  return maskNotice(rest, guard.content) ?? scrubbed;
}

function withoutValues(frame: FrameView, guard: Guard, isRunning: boolean): Buffer | undefined {
  const { buffer, end } = frame;
  const found: { readonly code: string; readonly start: number; readonly end: number }[] = [];
  for (let offset = frame.start + 5; offset < end && buffer[offset] !== 0;) {
    const zero = buffer.indexOf(0, offset + 1);
    if (zero < 0 || zero >= end) throw new ProtocolError('the server sent a malformed error message');
    found.push({ code: String.fromCharCode(buffer[offset]!), start: offset, end: zero + 1 });
    offset = zero + 1;
  }
  const said = (code: string): string => {
    const field = found.find((each) => each.code === code);
    return field === undefined ? '' : buffer.toString('utf8', field.start + 1, field.end - 1);
  };
  const sqlstate = said('C');
  const [, changedRelation] = outdated.exec(said('M')) ?? [];
  const isOld = changedRelation !== undefined;
  const isQuoting = isRunning ? !ofTheServer.test(sqlstate) : quoting.test(sqlstate);
  const withheld = !isOld && guard.withheld && isQuoting;
  const { details } = guard;
  const dropped =
    isOld ||
    withheld ||
    details === 'drop' ||
    (details !== 'keep' &&
      (said('t') === '' ? mayShowRows(sqlstate) : !details.harmless.has(relationKey(said('s'), said('t')))));
  const parts: Buffer[] = [];
  let changed = false;
  for (const { code, start, end: stop } of found) {
    const came = buffer.subarray(start, stop);
    let part: Buffer | undefined = came;
    if (code === 'P') {
      const position = withheld ? undefined : guard.position(Number(said('P')));
      if (String(position) !== said('P'))
        part = position === undefined ? undefined : Buffer.from(`P${String(position)}\0`);
    } else if (code === 'M' && isOld) part = Buffer.from(`M${outdatedMessage(changedRelation)}\0`);
    else if (code === 'C' && isOld) part = Buffer.from(`C${outdatedSqlstate}\0`);
    else if (code === 'M' && withheld) part = Buffer.from(`M${withheldMessage(buffer[frame.start], sqlstate)}\0`);
    else if (code === 'H' && withheld) part = undefined;
    else if (dropped && (code === 'D' || code === 'W' || code === 'q' || code === 'p')) part = undefined;
    if (part !== came) changed = true;
    if (part !== undefined) parts.push(part);
  }
  if (!changed) return undefined;
  const body = Buffer.concat([...parts, Buffer.of(0)]);
  const header = Buffer.alloc(5);
  header[0] = buffer[frame.start]!;
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** Constraints, checks of views, triggers, assertions: what they say is of rows, wherever these are. */
const mayShowRows = (sqlstate: string) => !/^(?:42|0A|25|26|34|3B|3D|3F|40|53|54|55|57|58)/.test(sqlstate);

/** A RowDescription that shows a column which the masks in force hide: rewriting has failed, and nothing of it may go out. */
export class Unmasked extends Error {
  constructor(column: string) {
    super(`the server describes the masked column ${column} (relation.attribute) as it stands in its table`);
    this.name = 'Unmasked';
  }
}

/**
 * RowDescription: [count: int16]([name: string][table: oid][attribute: int16][type: oid][size: int16][modifier: int32]
 * [format: int16])… Throws Unmasked.
 */
export function checkDescription(reader: FrameReader, guard: Guard): void {
  const { hidden } = guard;
  if (hidden.size === 0) return;
  const { buffer, start, end } = reader;
  const body = new BodyReader(buffer, start + 5, end);
  for (let count = body.uint16(); count > 0; count--) {
    body.skipString();
    const table = body.uint32();
    const attribute = body.int16();
    body.bytes(12);
    const column = `${table}.${attribute}`;
    if (hidden.has(column)) throw new Unmasked(column);
  }
  body.finish();
}
