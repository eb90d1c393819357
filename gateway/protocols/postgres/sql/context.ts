import { open, type Wrapped } from './ast.js';
import type { Relation, Routine } from './catalog.js';
import type { Facts } from './facts.js';
import type { Names } from './names.js';
import { select } from './query.js';
import type { Recorder } from './recorder.js';
import { openDerived, type Context, type Derived, type Flow, type Scope, type Value } from './scope.js';
import { insert, mergeInto, remove, update } from './writes.js';

/** Looks into the body of a function that is called; see bodies.ts. */
export type Bodies = (context: Context, routine: Routine, args: readonly Value[]) => Value | undefined;

/** Ties the parts of the analysis together. `made`: what earlier statements of the same string made. Without `bodies`, no function's is known. */
export function contextOf(
  facts: Facts,
  names: Names,
  made: (schema: string | undefined, name: string) => Relation | undefined = () => undefined,
  recorder?: Recorder,
  bodies?: Bodies,
  depth = 0,
): Context {
  const context: Context = {
    facts,
    names,
    recorder,
    made,
    depth,
    body: (routine, args) => bodies?.(context, routine, args),
    relation(schema, name, access = 'read') {
      const found = made(schema, name) ?? names.relation(schema, name);
      if (found === undefined) {
        const label = schema === undefined ? name : `${schema}.${name}`;
        facts.unresolved('relation', label);
        facts.relation(label, '?', access);
      }
      return found;
    },
    select: (body, scope, use) => select(context, body, scope, use),
    query: (node, scope, use) => query(context, node, scope, use),
  };
  return context;
}

function query(context: Context, node: Wrapped, scope: Scope | undefined, use: Flow): Derived {
  const { kind, body } = open(node);
  const output = use === 'flow' ? 'flow' : 'output';
  switch (kind) {
    case 'SelectStmt':
      return select(context, body, scope, use);
    case 'InsertStmt':
      return insert(context, body, scope, output);
    case 'UpdateStmt':
      return update(context, body, scope, output);
    case 'DeleteStmt':
      return remove(context, body, scope, output);
    case 'MergeStmt':
      return mergeInto(context, body, scope, output);
    default:
      context.facts.opaque(`the gateway does not know ${kind} as a query`);
      return openDerived([]);
  }
}
