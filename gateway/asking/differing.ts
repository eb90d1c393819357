import type { Decision, Input, Revision } from '#engine';

/**
 * What would have to differ for another answer: the smallest changes of who asks, for what and of which target that lead to
 * an allow. They are found by trying the values that the policy names, each by itself and then those together that had
 * an influence. What is found is true; that nothing was found may be for want of tries.
 */
export interface Difference {
  /** "purpose": "month-end", "groups with": "dba", … */
  readonly change: Readonly<Record<string, string>>;
  readonly outcome: Decision['outcome'];
  /** Codes of the rules that answer then. */
  readonly codes: readonly string[];
}

export interface Search {
  readonly differences: readonly Difference[];
  readonly tried: number;
  /** False: the bound was reached before everything was tried. */
  readonly complete: boolean;
}

export interface SearchOptions {
  readonly revision: Revision;
  readonly input: Input;
  /** Values that the policy names. */
  readonly values: readonly string[];
  readonly targets: readonly Input['target'][];
  readonly tries_max?: number;
  /** Of all inputs that are tried, as JSON; absent: it is only their number that is bounded. */
  readonly tried_chars_max?: number;
}

interface Change {
  readonly name: string;
  readonly value: string;
  apply(input: Input): Input;
}

const tries_default_max = 6_000;
const found_max = 10;
/** Of those that change the same things with the same answer. */
const alike_max = 3;
/** Stands for a purpose that nobody thought of: where it will do, any will. */
const any = '(any)';
/** Values that are combined in pairs. */
const influential_max = 40;

const better = { deny: 0, hold: 1, allow: 2 } as const;

export function whatWouldDiffer(options: SearchOptions): Search {
  const { revision, input, tried_chars_max = Number.POSITIVE_INFINITY } = options;
  const fitting = Math.floor(tried_chars_max / JSON.stringify(input).length);
  const tries_max = Math.min(options.tries_max ?? tries_default_max, fitting);
  const now = revision.decide(input);
  const said = summary(now);
  const found: Difference[] = [];
  const influential: Change[] = [];
  let tried = 0;
  const attempt = (changes: readonly Change[]): Decision => {
    tried += 1;
    return revision.decide(changes.reduce((changed, change) => change.apply(changed), input));
  };
  const keep = (changes: readonly Change[], decision: Decision) => {
    const codes = decision.reasons.map(({ code }) => code);
    const change = Object.fromEntries(changes.map(({ name, value }) => [name, value]));
    const alike = found.filter((one) => isAlike(one, { change, outcome: decision.outcome, codes }));
    if (alike.length < alike_max && !alike.some((one) => covers(one, change)))
      found.push({ change, outcome: decision.outcome, codes });
  };
  const singles = changesOf(options);
  for (const change of singles) {
    if (tried >= tries_max || found.length >= found_max) break;
    const decision = attempt([change]);
    if (better[decision.outcome] > better[now.outcome]) keep([change], decision);
    else if (summary(decision) !== said) influential.push(change);
  }
  // A pair is no smallest change where one of the two is enough.
  if (!found.some(({ outcome }) => outcome === 'allow'))
    for (const first of influential.slice(0, influential_max))
      for (const second of singles) {
        if (tried >= tries_max || found.length >= found_max) break;
        if (first.name === second.name) continue;
        const decision = attempt([first, second]);
        if (better[decision.outcome] > better[now.outcome]) keep([first, second], decision);
      }
  found.sort((one, other) => size(one) - size(other) || better[other.outcome] - better[one.outcome]);
  return { differences: distinct(found), tried, complete: tried < tries_max };
}

const isAlike = (one: Difference, other: Difference): boolean =>
  one.outcome === other.outcome &&
  one.codes.join() === other.codes.join() &&
  Object.keys(one.change).sort().join() === Object.keys(other.change).sort().join();

/** Whether what is found already says it: with any value in the place of this one. */
const covers = ({ change }: Difference, other: Difference['change']): boolean =>
  Object.entries(change).every(([name, value]) => value === any || value === other[name]);

const size = ({ change }: Difference): number => Object.keys(change).length;

/** What is the same change in another order is one. */
const distinct = (found: readonly Difference[]): Difference[] => [
  ...new Map(found.map((one) => [JSON.stringify(Object.entries(one.change).sort()), one])).values(),
];

const summary = ({ outcome, reasons }: Decision): string => JSON.stringify([outcome, reasons.map(({ code }) => code)]);

/** Only what the policy reads of this protocol can matter. */
function changesOf({ revision, input, values, targets }: SearchOptions): Change[] {
  const { principal, target } = input;
  const reads = (path: string) => revision.reads(target.protocol, path);
  const of = (path: string, changes: () => Change[]): Change[] => (reads(path) ? changes() : []);
  const who = (changed: Partial<Input['principal']>) => (one: Input) => ({
    ...one,
    principal: { ...one.principal, ...changed },
  });
  const sets = (key: 'groups' | 'roles'): Change[] => [
    ...values
      .filter((value) => !principal[key].includes(value))
      .map((value): Change => ({
        ...{ name: `${key} with`, value },
        apply: (one) => who({ [key]: [...one.principal[key], value] })(one),
      })),
    ...principal[key].map((value): Change => ({
      ...{ name: `${key} without`, value },
      apply: (one) => who({ [key]: one.principal[key].filter((other) => other !== value) })(one),
    })),
  ];
  return [
    ...of('principal.purpose', () =>
      [any, ...values]
        .filter((value) => value !== principal.purpose)
        .map((value) => ({ name: 'purpose', value, apply: who({ purpose: value }) })),
    ),
    ...of('principal.groups', () => sets('groups')),
    ...of('principal.roles', () => sets('roles')),
    ...of('principal.kind', () =>
      (['agent', 'human', 'service'] as const)
        .filter((kind) => kind !== principal.kind)
        .map((kind) => ({ name: 'kind', value: kind, apply: who({ kind }) })),
    ),
    ...of('target', () =>
      targets
        .filter(({ name, protocol }) => protocol === target.protocol && name !== target.name)
        .map((other) => ({ name: 'target', value: other.name, apply: (one: Input) => ({ ...one, target: other }) })),
    ),
  ];
}
