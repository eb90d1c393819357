import { maskFunctions } from './decision.js';
import type { Approval, Filter, GrantTerms, Keep, Limits, Mask, MaskFunction, Preview, Taint } from './decision.js';

/**
 * The shapes of what policy answers. Objects are closed: an approval with `qourum: 2` would else be one by a single person.
 * Each function gives the element with its defaults filled in, or says what is wrong with it.
 */

export class ShapeError extends Error {}

export const setNames = [
  'allow',
  'deny',
  'mask',
  'filter',
  'approval',
  'limit',
  'preview',
  'keep',
  'taint',
  'cost',
] as const;
export type SetName = (typeof setNames)[number];

type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An object with none but these keys. A code, a title and a message are text wherever there is one. */
export function closed(value: unknown, keys: ReadonlySet<string>): Fields {
  if (!isFields(value)) throw new ShapeError('an element is not an object');
  for (const key of Object.keys(value))
    if (!keys.has(key)) throw new ShapeError(`an element has the unknown field "${key}"`);
  for (const key of ['code', 'title', 'message', 'reason', 'rule'])
    if (Object.hasOwn(value, key) && typeof value[key] !== 'string') throw new ShapeError(`"${key}" is not text`);
  if (value['code'] === '') throw new ShapeError('"code" is empty');
  return value;
}

function text(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== 'string' || value === '') throw new ShapeError(`"${key}" is not a text`);
  return value;
}

const code = (fields: Fields, fallback: string): string => (fields['code'] as string | undefined) ?? fallback;

const reasonKeys = new Set(['code', 'title', 'message']);

export function checkReason(value: unknown): void {
  closed(value, reasonKeys);
}

const maskKeys = new Set(['resource', 'with', 'scope', 'parameters', 'code']);

/** @param value `with` may be "none": whether it is to be believed is not a matter of shape. */
export function readMask(
  value: unknown,
  fallback: string,
): Omit<Mask, 'with'> & { readonly with: MaskFunction | 'none' } {
  const fields = closed(value, maskKeys);
  const name = fields['with'];
  if (name !== 'none' && !maskFunctions.includes(name as MaskFunction))
    throw new ShapeError('"with" is not a mask function');
  const scope = fields['scope'] ?? 'source';
  if (scope !== 'source' && scope !== 'output') throw new ShapeError('"scope" is neither source nor output');
  const parameters = fields['parameters'];
  if (parameters !== undefined && !isFields(parameters)) throw new ShapeError('"parameters" is not an object');
  return {
    resource: text(fields, 'resource'),
    with: name as MaskFunction | 'none',
    scope,
    ...(parameters === undefined ? undefined : { parameters }),
    code: code(fields, fallback),
  };
}

const filterKeys = new Set(['resource', 'where', 'code']);

export function readFilter(value: unknown, fallback: string): Filter {
  const fields = closed(value, filterKeys);
  return { resource: text(fields, 'resource'), where: text(fields, 'where'), code: code(fields, fallback) };
}

const approvalKeys = new Set([
  'code',
  'groups',
  'quorum',
  'expires',
  'reason',
  'preview',
  'in_transaction',
  'grant',
  'break_glass',
]);
const unit_ms = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function duration_ms(value: unknown, key = 'expires'): number {
  const match = typeof value === 'string' ? /^([1-9][0-9]{0,5})([smhd])$/.exec(value) : null;
  if (match === null) throw new ShapeError(`"${key}" is not a duration like "15m" (s, m, h or d)`);
  return Number(match[1]) * unit_ms[match[2] as keyof typeof unit_ms];
}

export function readApproval(value: unknown, fallback: string): Approval {
  const fields = closed(value, approvalKeys);
  const quorum = count(fields['quorum'] ?? 1, 'quorum');
  const preview = fields['preview'];
  if (preview !== undefined && preview !== 'effect') throw new ShapeError('"preview" is not "effect"');
  const reason = fields['reason'] as string | undefined;
  const inTransaction = fields['in_transaction'];
  if (inTransaction !== undefined && typeof inTransaction !== 'boolean')
    throw new ShapeError('"in_transaction" is neither true nor false');
  const { grant, break_glass: breakGlass } = fields;
  return {
    code: code(fields, fallback),
    groups: groupsOf(fields, 'groups'),
    quorum,
    expires_ms: duration_ms(fields['expires'] ?? '15m'),
    ...(reason === undefined ? undefined : { reason }),
    ...(preview === undefined ? undefined : { preview }),
    ...(inTransaction === true ? { in_transaction: true } : undefined),
    ...(grant === undefined ? undefined : { grant: readGrant(grant) }),
    ...(breakGlass === undefined
      ? undefined
      : { break_glass: { groups: groupsOf(closed(breakGlass, breakGlassKeys), 'groups', '"break_glass" ') } }),
  };
}

const breakGlassKeys = new Set(['groups']);

function groupsOf(fields: Fields, key: string, of = ''): string[] {
  const groups = fields[key];
  if (
    !Array.isArray(groups) ||
    groups.length === 0 ||
    !groups.every((group) => typeof group === 'string' && group !== '')
  )
    throw new ShapeError(`${of}"${key}" is not a list of at least one group`);
  return groups as string[];
}

function count(value: unknown, key: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw new ShapeError(`"${key}" is not a whole number from 1 on`);
  return value;
}

const grantKeys = new Set(['same', 'session', 'uses', 'for']);

/** {"same": "fingerprint", "session": true, "uses": 10, "for": "30m"}: what is left out is narrow. */
function readGrant(value: unknown): GrantTerms {
  const fields = closed(value, grantKeys);
  const same = fields['same'] ?? 'operation';
  if (same !== 'operation' && same !== 'fingerprint')
    throw new ShapeError('"same" of a grant is neither "operation" nor "fingerprint"');
  const session = fields['session'] ?? true;
  if (typeof session !== 'boolean') throw new ShapeError('"session" of a grant is neither true nor false');
  return {
    same,
    session,
    uses: count(fields['uses'] ?? 1, 'uses'),
    for_ms: duration_ms(fields['for'] ?? '15m', 'for'),
  };
}

/** Whether what stands in `terms` is no wider than `required`; no grant at all is narrowest. */
export function withinGrant(terms: GrantTerms | undefined, required: GrantTerms | undefined): boolean {
  if (terms === undefined) return true;
  return (
    required !== undefined &&
    (terms.same === 'operation' || required.same === 'fingerprint') &&
    (terms.session || !required.session) &&
    terms.uses <= required.uses &&
    terms.for_ms <= required.for_ms
  );
}

const limitKinds = ['rows', 'bytes', 'seconds'] as const;
const limitKeys = new Set<string>([...limitKinds, 'code']);

/** @param partial True for what was combined, where there may be no limit at all. */
export function readLimit(value: unknown, partial = false): Limits {
  const fields = closed(value, limitKeys);
  const limits: { rows?: number; bytes?: number; seconds?: number } = {};
  for (const kind of limitKinds) {
    const amount = fields[kind];
    if (amount === undefined) continue;
    if (typeof amount !== 'number' || !Number.isFinite(amount) || amount < 0)
      throw new ShapeError(`"${kind}" is not a number from 0 on`);
    limits[kind] = amount;
  }
  if (!partial && Object.keys(limits).length === 0)
    throw new ShapeError('a limit names none of rows, bytes and seconds');
  return limits;
}

/** The lower of each. */
export function lowest(left: Limits, right: Limits): Limits {
  const limits: { rows?: number; bytes?: number; seconds?: number } = { ...left };
  for (const kind of limitKinds) {
    const amount = right[kind];
    if (amount !== undefined) limits[kind] = Math.min(limits[kind] ?? Infinity, amount);
  }
  return limits;
}

export function withinLimits(limits: Limits, required: Limits): boolean {
  return limitKinds.every((kind) => required[kind] === undefined || (limits[kind] ?? Infinity) <= required[kind]);
}

const taintKeys = new Set(['label', 'for', 'code']);

/** {"label": "pii", "for": "12h"} */
export function readTaint(value: unknown, fallback: string): Taint {
  const fields = closed(value, taintKeys);
  return {
    label: text(fields, 'label'),
    for_ms: duration_ms(fields['for'] ?? taintDefault, 'for'),
    code: code(fields, fallback),
  };
}

const taintDefault = '12h';

const previewKeys = new Set(['code']);

/** {"code": "images"}: what the operation would do has to be known before it is judged for good. */
export const readPreview = (value: unknown, fallback: string): Preview => ({
  code: code(closed(value, previewKeys), fallback),
});

const keepKeys = new Set(['code']);

/** {"code": "uploads"}: what the operation transfers is kept. */
export const readKeep = (value: unknown, fallback: string): Keep => ({ code: code(closed(value, keepKeys), fallback) });

const costKeys = new Set(['units', 'code']);

/** {"units": 2.5}: how much one operation costs. */
export function readCost(value: unknown): number {
  const { units } = closed(value, costKeys);
  if (typeof units !== 'number' || !Number.isFinite(units) || units < 0)
    throw new ShapeError('"units" is not a number from 0 on');
  return units;
}

/** Lower is stricter: the function first, then the scope. */
export function maskWeight(mask: Mask): number {
  return maskFunctions.indexOf(mask.with) * 2 + (mask.scope === 'source' ? 0 : 1);
}
