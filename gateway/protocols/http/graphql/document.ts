import {
  Kind,
  parse,
  type ArgumentNode,
  type DocumentNode,
  type FragmentDefinitionNode,
  type OperationDefinitionNode,
  type SelectionSetNode,
  type ValueNode,
} from 'graphql';
import type { GraphqlField, GraphqlRequest } from './schema.js';

/**
 * From a GraphQL document to the fields that it asks for, fragments put in place and variables replaced by their values. Pure.
 *
 * @see GraphQL specification, October 2021, "Language" and "Validation"
 */

/** What cannot be read in one way. The message quotes nothing of the request. */
export class GraphqlError extends Error {}

type Values = Readonly<Record<string, unknown>>;
type Read = Pick<GraphqlRequest, 'type' | 'name' | 'fields'>;

const tokens_max = 8_000;
const fields_max = 2_000;
const depth_max = 50;
/** Of lists and objects in arguments, as in JSON. */
const value_depth_max = 64;
/** Of all fields as policy sees them: paths repeat the names above them, and fragments and variables may come again and again. */
const chars_max = 1_048_576;
const none: Values = {};

/** Undefined where it is no GraphQL. Throws GraphqlError where it is too large to say. */
export function parsed(text: string): DocumentNode | undefined {
  try {
    return parse(text, { noLocation: true, maxTokens: tokens_max });
  } catch (error) {
    // The parser counts tokens as it goes, and goes as deep as the text does.
    const large =
      error instanceof RangeError || (error instanceof Error && /more tha[nt] \d+ tokens/.test(error.message));
    if (large) throw new GraphqlError('the document is larger than is looked at');
    return undefined;
  }
}

/**
 * What one operation of the document asks for. Throws GraphqlError where servers could take it for another one.
 *
 * @param name Of the operation that is to run; undefined where the request names none.
 */
export function readDocument(document: DocumentNode, name: string | undefined, variables: Values): Read {
  const operation = operationOf(document, name);
  const values = variablesOf(operation, variables);
  const reader = new Reader(fragmentsOf(document), values);
  if ((operation.directives ?? []).length > 0) throw new GraphqlError('the operation has directives of its own');
  reader.read(operation.selectionSet, { path: [], conditions: [], directives: [], spread: [] });
  return {
    type: operation.operation,
    ...(operation.name === undefined ? {} : { name: operation.name.value }),
    fields: reader.fields,
  };
}

/** The specification's GetOperation; names come once. */
function operationOf({ definitions }: DocumentNode, name: string | undefined): OperationDefinitionNode {
  const operations = definitions.filter((one) => one.kind === Kind.OPERATION_DEFINITION);
  const others = definitions.some(
    ({ kind }) => kind !== Kind.OPERATION_DEFINITION && kind !== Kind.FRAGMENT_DEFINITION,
  );
  if (others) throw new GraphqlError('the document defines something else than operations and fragments');
  unique(
    operations.map((one) => one.name?.value ?? ''),
    'operation',
  );
  const [first] = operations;
  if (first === undefined) throw new GraphqlError('the document has no operation');
  if (name === undefined) {
    if (operations.length > 1) throw new GraphqlError('the document has several operations, and none is named');
    return first;
  }
  const named = operations.find((one) => one.name?.value === name);
  if (named === undefined) throw new GraphqlError('the document has no operation of the name that is said');
  return named;
}

function fragmentsOf({ definitions }: DocumentNode): ReadonlyMap<string, FragmentDefinitionNode> {
  const fragments = definitions.filter((one) => one.kind === Kind.FRAGMENT_DEFINITION);
  unique(
    fragments.map((one) => one.name.value),
    'fragment',
  );
  return new Map(fragments.map((one) => [one.name.value, one]));
}

/** Those that are declared: as they are given, or else by their default. */
function variablesOf(
  { variableDefinitions = [] }: OperationDefinitionNode,
  given: Values,
): ReadonlyMap<string, unknown> {
  unique(
    variableDefinitions.map((one) => one.variable.name.value),
    'variable',
  );
  if (variableDefinitions.some(({ directives = [] }) => directives.length > 0)) {
    throw new GraphqlError('a variable has directives of its own');
  }
  const values = new Map<string, unknown>();
  for (const { variable, defaultValue } of variableDefinitions) {
    const name = variable.name.value;
    if (Object.hasOwn(given, name)) values.set(name, given[name]);
    else if (defaultValue !== undefined) values.set(name, valueOf(defaultValue, new Map()).value);
    else values.set(name, undefined);
  }
  return values;
}

/** Where a selection stands. */
interface Place {
  readonly path: readonly string[];
  /** Types of the fragments around it. */
  readonly conditions: readonly string[];
  /** Of the fragments around it. */
  readonly directives: readonly string[];
  /** Names of fragments that are being put in place. */
  readonly spread: readonly string[];
}

class Reader {
  readonly fields: GraphqlField[] = [];
  readonly #fragments: ReadonlyMap<string, FragmentDefinitionNode>;
  readonly #values: ReadonlyMap<string, unknown>;
  #steps = 0;
  #chars = 0;

  constructor(fragments: ReadonlyMap<string, FragmentDefinitionNode>, values: ReadonlyMap<string, unknown>) {
    this.#fragments = fragments;
    this.#values = values;
  }

  read({ selections }: SelectionSetNode, place: Place): void {
    if (place.path.length + place.spread.length > depth_max) throw new GraphqlError('the fields are too deep');
    for (const selection of selections) {
      // Fragments that spread fragments multiply: each selection counts, whether it gives a field or not.
      if (++this.#steps > fields_max) throw new GraphqlError(`it asks for more than ${fields_max} fields`);
      const directives = [...place.directives, ...(selection.directives ?? []).map((one) => one.name.value)];
      // What is judged here would have another value there: that of an answer.
      if (directives.includes('export')) throw new GraphqlError('a directive makes a variable of an answer');
      switch (selection.kind) {
        case Kind.FIELD: {
          const path = [...place.path, selection.name.value];
          const text = path.join('.');
          this.#count([text, selection.alias?.value, place.conditions, directives]);
          this.fields.push({
            path: text,
            name: selection.name.value,
            ...(selection.alias === undefined ? {} : { alias: selection.alias.value }),
            arguments: this.#argumentsOf(selection.arguments ?? []),
            ...(place.conditions.length === 0 ? {} : { on: [...place.conditions] }),
            ...(directives.length === 0 ? {} : { directives }),
          });
          if (selection.selectionSet !== undefined) {
            this.read(selection.selectionSet, { ...place, path, conditions: [], directives: [] });
          }
          break;
        }
        case Kind.INLINE_FRAGMENT: {
          const type = selection.typeCondition?.name.value;
          const conditions = type === undefined ? place.conditions : [...place.conditions, type];
          this.read(selection.selectionSet, { ...place, conditions, directives });
          break;
        }
        case Kind.FRAGMENT_SPREAD:
          this.#spread(selection.name.value, { ...place, directives });
      }
    }
  }

  #spread(name: string, place: Place): void {
    const fragment = this.#fragments.get(name);
    if (fragment === undefined) throw new GraphqlError('it spreads a fragment that it does not have');
    if (place.spread.includes(name)) throw new GraphqlError('a fragment spreads itself');
    const directives = [...place.directives, ...(fragment.directives ?? []).map((one) => one.name.value)];
    const conditions = [...place.conditions, fragment.typeCondition.name.value];
    this.read(fragment.selectionSet, { ...place, conditions, directives, spread: [...place.spread, name] });
  }

  /** A variable without a value is as if the argument were not there. */
  #argumentsOf(nodes: readonly ArgumentNode[]): Values {
    unique(
      nodes.map((one) => one.name.value),
      'argument',
    );
    const entries = nodes.flatMap(({ name, value }) => {
      const read = valueOf(value, this.#values);
      this.#count(read.value);
      return read.value === undefined ? [] : [[name.value, read.value] as const];
    });
    return entries.length === 0 ? none : Object.fromEntries(entries);
  }

  /** Ends as soon as it is too much: counting is never more than what may be counted. */
  #count(value: unknown): void {
    this.#chars += typeof value === 'string' ? value.length : 8;
    if (this.#chars > chars_max) throw new GraphqlError('its fields and arguments come to more than is looked at');
    if (typeof value !== 'object' || value === null) return;
    for (const [name, one] of Object.entries(value)) {
      if (!Array.isArray(value)) this.#chars += name.length;
      this.#count(one);
    }
  }
}

function valueOf(node: ValueNode, variables: ReadonlyMap<string, unknown>, depth = 0): { readonly value: unknown } {
  if (depth > value_depth_max) throw new GraphqlError('an argument is too deep');
  switch (node.kind) {
    case Kind.VARIABLE: {
      const name = node.name.value;
      if (!variables.has(name)) throw new GraphqlError('it uses a variable that it does not declare');
      return { value: variables.get(name) };
    }
    case Kind.INT:
    case Kind.FLOAT: {
      const value = Number(node.value);
      if (!Number.isFinite(value) || (node.kind === Kind.INT && !Number.isSafeInteger(value))) {
        throw new GraphqlError('it has a number that not every reader holds exactly');
      }
      return { value };
    }
    case Kind.STRING:
    case Kind.BOOLEAN:
    case Kind.ENUM:
      return { value: node.value };
    case Kind.NULL:
      return { value: null };
    case Kind.LIST:
      return { value: node.values.map((one) => valueOf(one, variables, depth + 1).value ?? null) };
    case Kind.OBJECT: {
      unique(
        node.fields.map((one) => one.name.value),
        'field of an object',
      );
      const entries = node.fields.map(
        (one) => [one.name.value, valueOf(one.value, variables, depth + 1).value] as const,
      );
      return { value: Object.fromEntries(entries.filter(([, value]) => value !== undefined)) };
    }
  }
}

function unique(names: readonly string[], what: string): void {
  if (new Set(names).size < names.length) throw new GraphqlError(`the document has one ${what} twice`);
}
