import type { Random } from '../corruptions.js';

/** A request before it is bytes, so that each part of it can be made wrong by itself. */
export interface Draft {
  readonly method: string;
  readonly target: string;
  readonly version: string;
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** One way of being malformed. What it gives as bytes is not changed any more. */
export type Way = (draft: Draft, from: Random) => Draft | Buffer;

export type Ways = Readonly<Record<string, Way>>;

export const withField =
  (name: string, value: string): Way =>
  (draft) => ({ ...draft, fields: [...draft.fields, [name, value]] });

/** In the place of all fields of that name. */
export const replaced = (draft: Draft, name: string, value: string): Draft => ({
  ...draft,
  fields: [...draft.fields.filter(([known]) => known.toLowerCase() !== name.toLowerCase()), [name, value]],
});

export const withBody = (draft: Draft, type: string, body: string | Buffer): Draft => ({
  ...replaced(draft, 'Content-Type', type),
  body: Buffer.from(body),
});

/** As a well-behaved client writes it: with the length of its body, where it has one. */
export function written(draft: Draft): Buffer {
  const { method, target, version, fields, body } = draft;
  const lengths: [string, string][] =
    body.length > 0 || method === 'POST' || method === 'PUT' ? [['Content-Length', String(body.length)]] : [];
  const lines = [...fields, ...lengths].map(([name, value]) => `${name}: ${value}`);
  return Buffer.concat([
    Buffer.from([`${method} ${target} ${version}`, ...lines, '', ''].join('\r\n'), 'latin1'),
    body,
  ]);
}

/** The same with other lines about its length, and whatever stands behind the head. */
export function framed(draft: Draft, lengths: readonly string[], behind: Buffer | string): Buffer {
  const { method, target, version, fields } = draft;
  const lines = [...fields.map(([name, value]) => `${name}: ${value}`), ...lengths];
  const head = [`${method} ${target} ${version}`, ...lines, '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(behind)]);
}

/** The bytes of the head, changed as text. */
export function headChanged(draft: Draft, change: (head: string) => string): Buffer {
  const bytes = written(draft);
  const end = bytes.indexOf('\r\n\r\n');
  return Buffer.concat([Buffer.from(change(bytes.toString('latin1', 0, end)), 'latin1'), bytes.subarray(end)]);
}
