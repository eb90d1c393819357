import { actions, type Action } from '#engine';
import type { Module, Rule } from './ast.js';
import type { Condition } from './conditions.js';
import type { Problem } from './error.js';
import { isContract, ofPolicy, possibleOf, schemaOf } from './firing.js';
import type { Answer, Answers } from './inlined.js';

/** Who may do what where by no allow at all, or by none but one that asks nothing of what is done. */

/** An operation, as far as rules tell operations apart. */
export interface Asked {
  readonly protocol: string;
  readonly action: Action;
  readonly kind: string;
  readonly target: string;
}

const principalKinds = ['agent', 'human', 'service'] as const;
const fields = { action: 'operation.action', kind: 'principal.kind', target: 'target.name' } as const;
const anyTarget = 'any target';

/** A rule, or one of the ways in which it may answer. */
interface Way {
  readonly conditions: readonly Condition[];
  readonly looksAt?: Answer['looksAt'];
}

export interface Ground {
  /** Of the input, by file name: they say what operations of a protocol may do. */
  readonly schemas: ReadonlyMap<string, Uint8Array>;
  /** What is left of the rules once helper rules are put in; of a package that it lacks, what is written out counts. */
  readonly answers?: Answers;
  /** Names of the gateway's targets; absent: those that rules name. */
  readonly targets?: readonly string[];
  /** Whether a rule of the site's refuses this with a reason. */
  readonly refuses?: (asked: Asked) => boolean;
}

/** No allow can answer for it, and nothing refuses it with a reason: who asks is told `not_allowed`. */
export function uncovered(modules: readonly Module[], { schemas, answers, targets = [], refuses }: Ground): Problem[] {
  const policy = ofPolicy(modules);
  return protocolsOf(policy).flatMap((name) => {
    const protocol = name.slice('policy.'.length);
    const own = policy.filter((module) => module.package === name);
    const [place] = own.flatMap(({ file, rules }) => rules.filter(({ name: set }) => set === 'allow').map(({ line }) => ({ file, line }))); // prettier-ignore
    if (place === undefined) return [];
    const { allow, deny } = waysOf(policy, name, answers);
    const denied = deny.flatMap((way) => valuesFor(way, 'action') ?? []);
    const named = targets.length > 0 ? targets : [...new Set(allow.flatMap((way) => valuesFor(way, 'target') ?? []).map(String)), anyTarget]; // prettier-ignore
    const open = named.flatMap((target) =>
      principalKinds.flatMap((kind) =>
        actionsOf(schemas, protocol)
          .filter((action) => !denied.includes(action))
          .map((action) => ({ protocol, action, kind, target }))
          .filter((asked) => !allow.some((way) => mayAnswer(way, asked)) && refuses?.(asked) !== true),
      ),
    );
    if (open.length === 0) return [];
    return [
      {
        code: 'uncovered',
        message: `no rule of ${protocol} answers for this, so that it is refused without a reason of yours: ${described(open, named)}`,
        help: 'Where that is meant, a deny with a message says so to whoever asks; else it lacks an allow.',
        ...place,
      },
    ];
  });
}

/** Allows that ask nothing of what is done: for whoever they are meant, they let everything through, today's and tomorrow's. */
export function boundless(modules: readonly Module[], { schemas, answers = new Map() }: Ground): Problem[] {
  const policy = ofPolicy(modules);
  const protocols = protocolsOf(policy);
  const allowing = protocols.filter((name) => policy.some((module) => module.package === name && module.rules.some(isAllow))); // prettier-ignore
  // A base that leaves the choice to its teams allows for all of them, and denies what nobody may.
  if (allowing.length === 0) return [];
  return [...answers].flatMap(([name, { answers: ways }]) => {
    const wide = ways.filter((way) => way.set === 'allow' && !way.looksAt('operation'));
    const rules = new Map(wide.flatMap((way) => (way.line === undefined ? [] : [[`${way.file}:${way.line}`, way] as const]))); // prettier-ignore
    return [...rules.values()].map((way) => {
      const spoken = name === 'policy.all' ? protocols : [name];
      const alone = spoken.flatMap((one) => {
        const narrow = waysOf(policy, one, answers).allow.filter((other) => other.looksAt?.('operation') !== false);
        return actionsOf(schemas, one.slice('policy.'.length)).filter(
          (action) => !narrow.some((other) => valuesFor(other, 'action')?.includes(action) ?? true),
        );
      });
      const only = alone.length === 0 ? '' : `; no other allow does for ${[...new Set(alone)].join(', ')}`;
      return {
        code: 'wide_allow',
        message: `this allow asks nothing of the operation: whoever it is for may do everything there is${only}`,
        help: 'Say which actions (input.operation.action in {…}), or of what (input.operation.resources).',
        ...{ file: way.file!, line: way.line! },
      };
    });
  });
}

const actionsOf = (schemas: Ground['schemas'], protocol: string): readonly Action[] =>
  (possibleOf(schemaOf(schemas, protocol), ['operation', 'action']) as readonly Action[] | undefined) ?? actions;

const isAllow = (rule: Rule): boolean => isContract(rule) && rule.name === 'allow';

const protocolsOf = (policy: readonly Module[]): string[] =>
  [...new Set(policy.map((module) => module.package))].filter((name) => name !== 'policy.all');

/** Of a protocol's package and of the one for all. */
function waysOf(
  policy: readonly Module[],
  name: string,
  answers: Answers | undefined,
): Record<'allow' | 'deny', Way[]> {
  const of = (set: string): Way[] =>
    [name, 'policy.all'].flatMap((owner): readonly Way[] => {
      const known = answers?.get(owner)?.answers.filter((way) => way.set === set);
      if (known !== undefined) return known;
      const modules = policy.filter((module) => module.package === owner);
      return modules.flatMap(({ rules }) => rules.filter((rule) => isContract(rule) && rule.name === set));
    });
  return { allow: of('allow'), deny: of('deny') };
}

/** Only what it may be at all, where several lines speak of it. */
const valuesFor = (way: Way, field: keyof typeof fields): readonly unknown[] | undefined =>
  way.conditions.find(({ path }) => path.join('.') === fields[field])?.values;

const mayAnswer = (way: Way, asked: Asked): boolean =>
  (Object.keys(fields) as (keyof typeof fields)[]).every((field) => valuesFor(way, field)?.includes(asked[field]) ?? true); // prettier-ignore

/** "delete, transfer (human)": actions that the same principals cannot do at the same targets, together. */
function described(open: readonly Asked[], targets: readonly string[]): string {
  const byAction = new Map<string, string>();
  for (const action of new Set(open.map((one) => one.action))) {
    const of = open.filter((one) => one.action === action);
    const [kinds, where] = [[...new Set(of.map(({ kind }) => kind))], [...new Set(of.map(({ target }) => target))]];
    const whole = of.length === kinds.length * where.length;
    const who = kinds.length === principalKinds.length ? [] : kinds;
    const at = where.length === targets.length ? [] : [`at ${where.join(', ')}`];
    byAction.set(action, whole ? [...who, ...at].join(' ') : of.map(({ kind, target }) => `${kind} at ${target}`).join(', ')); // prettier-ignore
  }
  const groups = [...new Set(byAction.values())].map((rest) => {
    const names = [...byAction].filter(([, other]) => other === rest).map(([action]) => action);
    return `${names.join(', ')}${rest === '' ? '' : ` (${rest})`}`;
  });
  return groups.join('; ');
}
