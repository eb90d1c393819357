import { canHold, kinds, labelOf, plural, type Kind, type Shape } from './kinds.js';
import { kindByName, type Named } from './names.js';
import { isBirthday, isProse, kindsInside, looksLike, mayBe, seemsRandom } from './values.js';

/** One column, and what is known of it without its values. */
export interface Column {
  /** schema.relation.column */
  readonly name: string;
  /** schema.relation */
  readonly relation: string;
  readonly column: string;
  /** The type's name in pg_type; of a domain, its base's. */
  readonly type: string;
  readonly shape: Shape;
  readonly comment?: string;
}

/** What was seen of a column's values. */
export type Sample =
  | { readonly values: readonly string[] }
  /** Why there are none: masked, refused by policy, not worth a look, a failure. */
  | { readonly without: 'masked' | 'refused' | 'not read' | 'failed'; readonly why?: string };

/** sure and likely are proposed; maybe is left to whoever reads the proposal. */
export type Certainty = 'sure' | 'likely' | 'maybe';

export interface Finding {
  readonly kind: Kind;
  readonly label: string;
  readonly certainty: Certainty;
  /** Why, in one line. Nothing of a value is in it, nor of the comment. */
  readonly because: string;
}

/** From so many values on, and so many different ones, their shares mean something. */
const values_min = 10;
const distinct_min = 5;

/** Kinds whose values cannot well be taken for something else. */
const telling = new Set<Kind>(['email', 'card', 'iban', 'national_id', 'ip', 'secret']);

/** How many of a kind make a column one of it: not every given name is on the list, and streets have many forms. */
const enough: Partial<Record<Kind, number>> = { name: 0.3, address: 0.4, text: 0.5 };

/** What a column holds, as far as its name and a sample of its values tell. */
export function judge(column: Column, sample: Sample): Finding | undefined {
  const named = possibleName(column);
  if ('without' in sample) return named && byNameAlone(named, sample);
  const values = sample.values.map((value) => value.trim()).filter((value) => value !== '');
  if (values.length === 0) return named && byNameAlone(named, sample);
  const byValues = byTheirLooks(column, named, values);
  if (byValues !== undefined) return byValues;
  return (
    (named && byNameDespiteValues(named, values)) ??
    (column.shape === 'date' || named !== undefined ? undefined : bySomeOfThem(column, values))
  );
}

function possibleName(column: Column): Named | undefined {
  const named = kindByName(column.relation, column.column, column.comment);
  return named !== undefined && canHold(column.shape, named.kind) ? named : undefined;
}

function byNameAlone(named: Named, sample: Sample): Finding {
  const gone = 'without' in sample ? notSeen[sample.without] : 'there are none';
  const certainty = named.by === 'comment' ? 'maybe' : 'likely';
  return finding(named.kind, certainty, `${says(named)}; of the values nothing is known: ${gone}`);
}

const notSeen = {
  masked: 'they came masked',
  refused: 'policy refused them',
  failed: 'they could not be read',
  'not read': 'values of this type are not looked at',
} as const;

function byTheirLooks(column: Column, named: Named | undefined, values: readonly string[]): Finding | undefined {
  const counted = kinds
    .filter((kind) => canHold(column.shape, kind) && kind !== 'text' && kind !== 'birth')
    .map((kind) => {
      const says = named?.kind === kind;
      return { kind, says, count: values.filter((value) => (says ? mayBe : looksLike)(kind, value)).length };
    })
    .filter(({ kind, count }) => count / values.length >= (enough[kind] ?? 0.8))
    // The column's own word breaks a tie; else the order of the kinds, the stricter first.
    .sort((a, b) => Number(b.says) - Number(a.says) || b.count - a.count);
  const best = counted[0];
  if (best === undefined) return birthOrText(column, named, values);
  const many = values.length >= values_min && new Set(values).size >= distinct_min;
  const certainty = best.says || telling.has(best.kind) ? (many ? 'sure' : 'likely') : many ? 'likely' : 'maybe';
  const also = best.says && named !== undefined ? `, and ${says(named)}` : '';
  return finding(best.kind, certainty, `${outOf(best.count, values)} look like ${plural(best.kind)}${also}`);
}

function birthOrText(column: Column, named: Named | undefined, values: readonly string[]): Finding | undefined {
  const year = new Date().getUTCFullYear();
  const days = values.filter((value) => isBirthday(value, year));
  if (canHold(column.shape, 'birth') && days.length >= values.length * 0.8) {
    const also = `${outOf(days.length, values)} are days of a lifetime`;
    if (named?.kind === 'birth') return finding('birth', 'sure', `${also}, and ${says(named)}`);
    // Days that lie decades apart, hardly any of them recent: of orders and log entries most are recent.
    const years = days.map((day) => Number(/\d{4}/.exec(day)?.[0]));
    const old = years.filter((each) => each <= year - 15).length;
    if (named === undefined && years.length >= values_min && spread(years) >= 30 && old >= years.length * 0.7)
      return finding('birth', 'maybe', `${also}, and lie decades apart`);
  }
  if (!canHold(column.shape, 'text')) return undefined;
  const prose = values.filter(isProse).length;
  if (prose < values.length * enough.text! && named?.kind !== 'text' && column.shape !== 'document') return undefined;
  return text(column, named, values, prose);
}

/** Text in which anything may stand: what matters is whether personal data was seen in it. */
function text(column: Column, named: Named | undefined, values: readonly string[], prose: number): Finding | undefined {
  const inside = values.map(kindsInside).filter((found) => found.length > 0);
  const seen = kinds.filter((kind) => inside.some((found) => found.includes(kind))).map(plural);
  const holds = `${outOf(inside.length, values)} ${inside.length === 1 ? 'has' : 'have'} ${list(seen)} in them`;
  const sentences = `${outOf(prose, values)} read like sentences`;
  if (seen.length > 0)
    return finding('text', inside.length > 1 ? 'sure' : 'likely', prose > 0 ? `${sentences}, and ${holds}` : holds);
  if (named?.kind === 'text')
    return finding('text', 'likely', prose > 0 ? `${sentences}, and ${says(named)}` : says(named));
  return column.shape === 'document' || named !== undefined ? undefined : finding('text', 'maybe', sentences);
}

/** The name says what the values do not look like. Names and addresses take forms that nobody lists. */
function byNameDespiteValues(named: Named, values: readonly string[]): Finding | undefined {
  const { kind } = named;
  const count = values.filter((value) => mayBe(kind, value)).length;
  if (kind === 'text') return undefined;
  const words = `${says(named)}, but only ${outOf(count, values)} look like ${count === 1 ? 'it' : plural(kind)}`;
  const trusted = ['name', 'address', 'secret'].includes(kind) && named.by !== 'comment';
  return finding(kind, trusted || count >= values.length * 0.3 ? 'likely' : 'maybe', words);
}

/** A few of the values are of a kind that they should not be: somebody typed it into the wrong field. */
function bySomeOfThem(column: Column, values: readonly string[]): Finding | undefined {
  for (const kind of telling) {
    if (!canHold(column.shape, kind) || column.shape === 'number') continue;
    const count = values.filter((value) => looksLike(kind, value)).length;
    if (count > 0) return finding(kind, 'maybe', `${outOf(count, values)} look like ${plural(kind)}`);
  }
  const random = values.filter(seemsRandom).length;
  if (column.shape === 'string' && random >= values.length * 0.8)
    return finding('secret', 'maybe', `${outOf(random, values)} are random characters: keys, or check sums`);
  return undefined;
}

const finding = (kind: Kind, certainty: Certainty, because: string): Finding => ({
  kind,
  label: labelOf(kind),
  certainty,
  because,
});

function says({ kind, by }: Named): string {
  if (by === 'name') return `the name says ${plural(kind)}`;
  return by === 'comment' ? `the comment speaks of ${plural(kind)}` : `the relation's name says ${plural(kind)}`;
}

const outOf = (count: number, values: readonly string[]): string => `${count} of ${values.length} values`;
const spread = (years: readonly number[]): number => Math.max(...years) - Math.min(...years);
const list = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
