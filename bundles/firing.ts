import { actions } from '#engine';
import type { Module, Rule } from './ast.js';
import type { Condition } from './conditions.js';
import type { Problem } from './error.js';
import { nearest } from './nearest.js';
import { contractPackage, contractSets, isTestModule } from './verify.js';

/** Rules that can never answer, and operations that no rule answers for: as far as what is written out makes it certain. */

type Schema = Readonly<Record<string, unknown>>;

/** @param schemas By file name, "postgres.json"; "input.json" of what every protocol has. */
export function neverFires(modules: readonly Module[], schemas: ReadonlyMap<string, Uint8Array>): Problem[] {
  const read = (name: string) => JSON.parse(Buffer.from(schemas.get(name) ?? '{}').toString('utf8')) as Schema;
  return ofPolicy(modules).flatMap(({ file, package: owner, rules }) => {
    const protocol = owner.split('.')[1] ?? '';
    const schema = read(schemas.has(`${protocol}.json`) ? `${protocol}.json` : 'input.json');
    return rules.flatMap((rule) => {
      const why = impossible(rule.conditions, protocol, schema);
      if (why === undefined) return [];
      const what = isContract(rule) ? `this ${rule.name} never answers` : `${rule.name} is never true here`;
      return [{ code: 'never_fires', message: `${what}: ${why.message}`, help: why.help, file, line: why.line }];
    });
  });
}

interface Why {
  readonly message: string;
  readonly help: string;
  readonly line: number;
}

function impossible(conditions: readonly Condition[], protocol: string, schema: Schema): Why | undefined {
  const left = new Map<string, readonly unknown[]>();
  for (const { term, path, values, line } of conditions) {
    const possible = possibleOf(schema, path);
    const where = `input.${path.join('.').replaceAll('.[]', '[]')}`;
    if (where === 'input.target.protocol' && protocol !== 'all' && !values.includes(protocol)) {
      const help = `Rules for ${listed(values)} stand in a package of their own, or in policy.all.`;
      return { message: `package policy.${protocol} is asked for targets of ${protocol} alone`, help, line };
    }
    if (possible !== undefined && !values.some((value) => possible.includes(value))) {
      const near = nearest(String(values[0]), possible.map(String));
      const help = near === undefined ? `It is one of ${possible.map(String).join(', ')}.` : `Did you mean ${JSON.stringify(near)}?`; // prettier-ignore
      return { message: `${where} is never ${listed(values)}`, help, line };
    }
    const both = left.get(term)?.filter((value) => values.includes(value)) ?? values;
    if (both.length === 0) {
      const help = 'All lines of a body have to hold: write two rules where either is enough.';
      return { message: `${term} cannot be ${listed(left.get(term)!)} and ${listed(values)} at once`, help, line };
    }
    left.set(term, both);
  }
  return undefined;
}

/** All values that a field can have, where its schema names them. */
function possibleOf(schema: Schema | undefined, path: readonly string[]): readonly unknown[] | undefined {
  const [first, ...rest] = path;
  if (schema === undefined) return undefined;
  if (first === undefined) return Array.isArray(schema['enum']) ? (schema['enum'] as unknown[]) : undefined;
  const below = first === '[]' ? schema['items'] : (schema['properties'] as Schema | undefined)?.[first];
  return possibleOf(below as Schema | undefined, rest);
}

const listed = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(' or ');
const isContract = ({ name, kind }: Rule): boolean => kind === 'set' && (contractSets as readonly string[]).includes(name); // prettier-ignore
const ofPolicy = (modules: readonly Module[]): readonly Module[] =>
  modules.filter((module) => !isTestModule(module) && contractPackage(module.package) !== undefined);

/** An operation, as far as rules that are written out tell operations apart. */
interface Asked {
  readonly action: string;
  readonly kind: string;
  readonly target: string;
}

const principalKinds = ['agent', 'human', 'service'] as const;
const fields = { action: 'operation.action', kind: 'principal.kind', target: 'target.name' } as const;
const anyTarget = 'any target';

/**
 * Who can do what where by no rule at all: no allow can answer for it, and no deny names the action, so that it is refused
 * without a word why. @param targets Names of the gateway's targets; absent: those that rules name.
 */
export function uncovered(modules: readonly Module[], targets: readonly string[] = []): Problem[] {
  const policy = ofPolicy(modules);
  const forAll = policy.filter((module) => module.package === 'policy.all');
  const protocols = [...new Set(policy.map((module) => module.package))].filter((name) => name !== 'policy.all');
  return protocols.flatMap((name) => {
    const own = policy.filter((module) => module.package === name);
    const rules = [...own, ...forAll].flatMap((module) => module.rules).filter(isContract);
    const allows = rules.filter((rule) => rule.name === 'allow');
    const denied = rules.filter((rule) => rule.name === 'deny').flatMap((rule) => valuesFor(rule, 'action') ?? []);
    const [place] = own.flatMap(({ file, rules: all }) => all.filter(({ name: set }) => set === 'allow').map(({ line }) => ({ file, line }))); // prettier-ignore
    if (place === undefined) return [];
    const named = targets.length > 0 ? targets : [...new Set(allows.flatMap((rule) => valuesFor(rule, 'target') ?? []).map(String)), anyTarget]; // prettier-ignore
    const open: Asked[] = named.flatMap((target) =>
      principalKinds.flatMap((kind) =>
        actions
          .filter((action) => !denied.includes(action))
          .map((action) => ({ action, kind, target }))
          .filter((asked) => !allows.some((rule) => mayAnswer(rule, asked))),
      ),
    );
    if (open.length === 0) return [];
    return [
      {
        code: 'uncovered',
        message: `no rule of ${name.slice('policy.'.length)} answers for this, so that it is refused without a reason of yours: ${described(open, named)}`,
        help: 'Where that is meant, a deny with a message says so to whoever asks; else it lacks an allow.',
        ...place,
      },
    ];
  });
}

const valuesFor = (rule: Rule, field: keyof typeof fields): readonly unknown[] | undefined =>
  rule.conditions.find(({ path }) => path.join('.') === fields[field])?.values;

const mayAnswer = (rule: Rule, asked: Asked): boolean =>
  (Object.keys(fields) as (keyof typeof fields)[]).every((field) => valuesFor(rule, field)?.includes(asked[field]) ?? true); // prettier-ignore

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
