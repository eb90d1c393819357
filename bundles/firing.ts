import type { Module, Rule } from './ast.js';
import type { Condition } from './conditions.js';
import type { Problem } from './error.js';
import type { Answers } from './inlined.js';
import { nearest } from './nearest.js';
import { contractPackage, contractSets, isTestModule } from './verify.js';

/** Rules that can never answer: as far as what is written out, helper rules and data make it certain. */

type Schema = Readonly<Record<string, unknown>>;

/** Of a protocol, or of all. @param schemas By file name, "postgres.json"; "input.json" of what every protocol has. */
export function schemaOf(schemas: ReadonlyMap<string, Uint8Array>, protocol: string): Schema {
  const found = schemas.get(`${protocol}.json`) ?? schemas.get('input.json');
  return JSON.parse(Buffer.from(found ?? '{}').toString('utf8')) as Schema;
}

/** @param data Of the repository. */
export function neverFires(
  modules: readonly Module[],
  schemas: ReadonlyMap<string, Uint8Array>,
  answers: Answers = new Map(),
  data: unknown = {},
): Problem[] {
  const absent = absentData(modules, data);
  return ofPolicy(modules).flatMap(({ file, package: owner, rules }) => {
    const protocol = owner.split('.')[1] ?? '';
    const schema = schemaOf(schemas, protocol);
    return rules.flatMap((rule) => {
      const why = impossible(rule.conditions, protocol, schema) ?? inlinedWhy(file, rule);
      if (why === undefined) return [];
      const what = isContract(rule) ? `this ${rule.name} never answers` : `${rule.name} is never true here`;
      return [{ code: 'never_fires', message: `${what}: ${why.message}`, help: why.help, file, line: why.line }];
    });

    /** The same once helper rules and data are put in. */
    function inlinedWhy(at: string, rule: Rule): Why | undefined {
      const { line } = rule;
      const ways = answers.get(owner);
      if (!isContract(rule) || ways?.marked.has(`${at}:${line}`) !== true) return undefined;
      const own = ways.answers.filter((one) => one.file === at && one.line === line);
      if (own.length > 0) {
        const each = own.map(({ conditions }) => impossible(conditions, protocol, schema));
        const [first] = each;
        return first === undefined || each.includes(undefined) ? undefined : { ...first, line };
      }
      const missing = absent(rule);
      return missing.length > 0
        ? { message: `${missing.map((name) => `data.${name}`).join(', ')} ${missing.length === 1 ? 'is' : 'are'} not there`, help: 'Write it into a data.yaml, or mend the name.', line } // prettier-ignore
        : { message: 'with the helper rules and the data of this repository its lines cannot hold together', help: 'Look for a helper that is never true, a value that the data lacks, or a list of it that is empty.', line }; // prettier-ignore
    }
  });
}

/** Names of data that a rule needs, itself or by what it uses, and that neither the repository's data nor its rules have. */
function absentData(modules: readonly Module[], data: unknown): (rule: Rule) => string[] {
  const inForce = modules.filter((module) => !isTestModule(module));
  const byName = new Map<string, Rule[]>();
  for (const module of inForce)
    for (const rule of module.rules) {
      const name = `${module.package}.${rule.name}`;
      byName.set(name, [...(byName.get(name) ?? []), rule]);
    }
  const isRule = (used: string) => inForce.some(({ package: owner }) => `${used}.`.startsWith(`${owner}.`) || owner.startsWith(`${used}.`)); // prettier-ignore
  const isThere = (parts: readonly string[]) =>
    parts.reduce<unknown>((value, part) => (isObject(value) ? value[part] : undefined), data) !== undefined;
  return (rule) => {
    const left = [rule];
    const seen = new Set<Rule>(left);
    const missing = new Set<string>();
    for (let one = left.pop(); one !== undefined; one = left.pop())
      for (const used of one.uses) {
        const helpers = [...byName].flatMap(([name, rules]) => (`${used}.`.startsWith(`${name}.`) ? rules : []));
        for (const helper of helpers) if (!seen.has(helper)) left.push((seen.add(helper), helper));
        if (used !== '' && !/^(policy|sallyport)(\.|$)/.test(used) && !isRule(used) && !isThere(used.split('.')))
          missing.add(used);
      }
    return [...missing];
  };
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null;

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
export function possibleOf(schema: Schema | undefined, path: readonly string[]): readonly unknown[] | undefined {
  const [first, ...rest] = path;
  if (schema === undefined) return undefined;
  if (first === undefined) return Array.isArray(schema['enum']) ? (schema['enum'] as unknown[]) : undefined;
  const below = first === '[]' ? schema['items'] : (schema['properties'] as Schema | undefined)?.[first];
  return possibleOf(below as Schema | undefined, rest);
}

const listed = (values: readonly unknown[]): string => values.map((value) => JSON.stringify(value)).join(' or ');
export const isContract = ({ name, kind }: Rule): boolean => kind === 'set' && (contractSets as readonly string[]).includes(name); // prettier-ignore
export const ofPolicy = (modules: readonly Module[]): readonly Module[] =>
  modules.filter((module) => !isTestModule(module) && contractPackage(module.package) !== undefined);
