import { hash as hashOf } from 'node:crypto';
import { actions, type Action, type Operation, type Resource } from '#engine';
import type { Withheld } from '../../protocol.js';
import type { DecodedParameters } from './judging/parameters.js';
import type { PostgresOperation } from './schema.js';
import { withheldText } from './sql/withheld.js';
import type { StatementFacts, Template } from './judging/statement.js';

/**
 * Templates to operations. What templates share (resources, the facts of their statements) is frozen to the leaves: the
 * engine and the audit recognise it by identity, so that judging and recording a statement again costs a look-up. What is
 * left is small, and each operation's own.
 */
export interface Place {
  readonly database: string;
  /** The upstream's role. */
  readonly user: string;
}

const facts = new WeakMap<Template['statements'], PostgresOperation['statements']>();

/** Templates that differ in literals alone share their statements: so they share what policy sees of them. */
function factsOf({ statements }: Template): PostgresOperation['statements'] {
  const known = facts.get(statements);
  if (known !== undefined) return known;
  const made = deepFreeze(statements.map((statement) => statement.facts)) as unknown as PostgresOperation['statements'];
  facts.set(statements, made);
  return made;
}

/** What is judged at Parse: everything but the parameters. */
export function prepareOperation(template: Template, { database, user }: Place): Operation {
  const { action, opaque, hash, recorded } = template;
  const postgres = { statement: recorded, statements: factsOf(template), database, user };
  return { stage: 'prepare', action, resources: resourcesOf(template), opaque, hash, postgres };
}

/** What is judged at Execute. */
export function executeOperation(
  template: Template,
  place: Place,
  { values, undecoded }: DecodedParameters,
): Operation {
  return {
    stage: 'execute',
    action: template.action,
    resources: resourcesOf(template),
    opaque: template.opaque || undecoded,
    hash: values.length === 0 ? template.hash : hashOf('sha256', template.hash + JSON.stringify(values)),
    postgres: {
      statement: template.recorded,
      statements: factsOf(template),
      parameters: values,
      database: place.database,
      user: place.user,
    },
  };
}

/** Makes of the operation's object what a record may have of it where it touches columns whose values must not stand there. */
export const withholding =
  ({ text, recorded }: Template) =>
  (own: unknown, { columns, conceal }: Withheld): PostgresOperation & { readonly withheld: true } => {
    const operation = own as PostgresOperation;
    // A statement that carries credentials has more to hide than columns.
    const kept = withheldText(text, recorded === text ? columns : undefined);
    const parameters = operation.parameters?.map((value, index) =>
      value === null || kept.parameters.has(index + 1) ? value : conceal(value),
    );
    return { ...operation, statement: kept.text, ...(parameters && { parameters }), withheld: true };
  };

const resourcesOf = ({ resources }: Template) => (Object.isFrozen(resources) ? resources : deepFreeze(resources));

/** The first operation of every session: judged before the upstream sees a byte. */
export function connectOperation(place: Place, settings: ReadonlyMap<string, string>): Operation {
  const resources: Resource[] = [
    { type: 'database', name: place.database, access: 'use' },
    ...[...settings.keys()].map((name): Resource => ({ type: 'setting', name, access: 'use' })),
  ];
  return {
    stage: 'execute',
    action: 'connect',
    resources,
    opaque: false,
    hash: hashOf('sha256', JSON.stringify(['connect', place.database, place.user, ...settings])),
    postgres: { statement: '', statements: [], parameters: [], database: place.database, user: place.user },
  };
}

/**
 * A template whose EXECUTEs stand for what they run: the outer statement, judged as the ones inside. `inner` are the
 * templates that it refers to, in order.
 */
export function withInner(outer: Template, inner: readonly Template[]): Template {
  if (inner.length === 0) return outer;
  const facts: StatementFacts[] = inner.flatMap((template) => template.statements.map((statement) => statement.facts));
  const resources = new Map<string, Resource>();
  for (const resource of [...inner.flatMap((template) => template.resources), ...outer.resources]) {
    resources.set(
      JSON.stringify([resource.type, resource.name, resource.access, resource.use, resource.via]),
      resource,
    );
  }
  return {
    ...outer,
    statements: [
      // An EXECUTE says nothing that the statement inside doesn't; whatever else stands in the string stays.
      ...outer.statements.filter((statement) => statement.facts.kind !== 'execute'),
      ...facts.map((fact) => ({
        facts: fact,
        control: { kind: 'none' } as const,
        moves: { path: false, catalog: false, anything: false },
      })),
    ],
    action: strongest([outer.action, ...inner.map((template) => template.action)]),
    resources: [...resources.values()],
    opaque: outer.opaque || inner.some((template) => template.opaque),
    hash: hashOf('sha256', JSON.stringify([outer.hash, ...inner.map((template) => template.hash)])),
  };
}

/** What the engine may recognise by identity is what nobody can change: down to the last value. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}

const strength = new Map<Action, number>(actions.map((action, index) => [action, index]));

export function strongest(candidates: readonly Action[]): Action {
  return candidates.reduce((best, action) => (strength.get(action)! > strength.get(best)! ? action : best));
}
