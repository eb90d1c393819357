import { fields, message, row, type Frame, type WireClient } from '../../support/wire.js';
import type { Step } from './grammar.js';

/** What a client received for one step. */
export interface Received {
  readonly step: Step;
  readonly frames: readonly Frame[];
}

/** Runs a script, whatever comes of its steps, and leaves the session as it was. */
export async function run(client: WireClient, script: readonly Step[]): Promise<Received[]> {
  const received: Received[] = [];
  for (const step of script) {
    client.received.length = 0;
    received.push({ step, frames: await exchange(client, step) });
  }
  const state = received.at(-1)?.frames.at(-1)?.body.toString('latin1');
  if (state !== 'I') await client.query('rollback');
  if (script.some(({ sql }) => sql.startsWith('prepare '))) await client.query('deallocate all');
  return received;
}

function exchange(client: WireClient, { binary = false, sql, values }: Step): Promise<Frame[]> {
  if (values === undefined) return client.query(sql);
  return client.exchange(
    message.parse(sql),
    message.bind(values, { results: binary ? [1] : [] }),
    message.describe('P'),
    message.execute(),
    message.sync(),
  );
}

/**
 * The bytes that have to be equal: all of them, but for the ids of decisions and the targets' names in refusals, and the
 * OIDs of tables, which each database gives itself.
 */
export function comparable(received: readonly Received[], oids: ReadonlySet<number>): string[] {
  return received.flatMap(({ frames, step }) =>
    (isAnalyzed(step) && frames.some(looksAtCatalog) ? frames.filter(({ type }) => type !== 'D') : frames).map(
      ({ body, type }) => {
        if (type === 'E' || type === 'N') return `${type} ${refusal(body)}`;
        return `${type} ${(type === 'T' ? ownTables(body, oids) : body).toString('latin1')}`;
      },
    ),
  );
}

/**
 * Only EXPLAIN ANALYZE may show a part of a plan that looks at whether its relations changed: how that reads the catalog depends on all
 * that a database has. What is not run has no such part.
 */
const isAnalyzed = ({ sql }: Step): boolean => /^explain \(analyze\b/i.test(sql);

const looksAtCatalog = ({ type, body }: { type: string; body: Buffer }): boolean =>
  type === 'D' && body.includes("ELSE 'sallyport: ");

function refusal(body: Buffer): string {
  const { C: code, D: detail, H: hint, ...rest } = fields(body);
  const plain = (text: string | undefined) =>
    text?.replace(/d-[0-9a-z]+-\d+/g, 'd-…').replace(/"target":"[ab]"/g, '"target":"…"');
  // F, L and R are left out: the gateway's own errors have none.
  const { F: _file, L: _line, R: _routine, ...said } = rest;
  return JSON.stringify({ code, detail: plain(detail), hint: plain(hint), ...said });
}

/** RowDescription with 0xffffffff for every relation that wasn't there before. */
function ownTables(body: Buffer, oids: ReadonlySet<number>): Buffer {
  const copy = Buffer.from(body);
  let at = 2;
  for (let left = copy.readInt16BE(0); left > 0; left--) {
    at = copy.indexOf(0, at) + 1;
    const oid = copy.readUInt32BE(at);
    if (oid !== 0 && !oids.has(oid)) copy.writeUInt32BE(0xffffffff, at);
    at += 18;
  }
  return copy;
}

export const codesOf = (received: readonly Received[]): string[] =>
  received.flatMap(({ frames }) =>
    frames.filter(({ type }) => type === 'E').map(({ body }) => fields(body)['C'] ?? ''),
  );

/** What policy and enforcement said where they refused, without the names in it. */
export const refusals = (received: readonly Received[]): string[] =>
  received.flatMap(({ frames }) =>
    frames
      .filter(({ type }) => type === 'E')
      .map(({ body }) => fields(body))
      .filter(({ C: code }) => code === '42501')
      .map(
        ({ D: detail = '', M: text = '' }) =>
          `${/"code":"(\w+)"/.exec(detail)?.[1] ?? ''} ${text.replace(/\b[a-z]\d\S*/g, '…')}`,
      ),
  );

/** For people: what was sent, and what came. */
export function show(received: readonly Received[]): string {
  return received
    .map(({ frames, step: { binary, sql, values } }) => {
      const given = values === undefined ? '' : `  -- ${JSON.stringify(values)}${binary === true ? ', binary' : ''}`;
      return [`  ${sql};${given}`, ...frames.map((frame) => `    ${frame.type} ${describe(frame)}`)].join('\n');
    })
    .join('\n');
}

function describe({ body, type }: Frame): string {
  if (type === 'D') return JSON.stringify(row(body).map((value) => value?.toString('utf8') ?? null));
  if (type === 'E' || type === 'N') {
    const { C: code, D: detail, M: text } = fields(body);
    return [code, text, detail].filter((part) => part !== undefined).join(' · ');
  }
  return JSON.stringify(body.toString('latin1'));
}
