import { open, type Wrapped } from './ast.js';
import type { Relation } from './catalog.js';
import type { Facts } from './facts.js';
import type { Names } from './names.js';
import { select } from './query.js';
import type { Recorder } from './recorder.js';
import { openDerived, type Context, type Derived, type Flow, type Scope } from './scope.js';
import { insert, mergeInto, remove, update } from './writes.js';

/** Ties the parts of the analysis together. `made`: what earlier statements of the same string made. */
export function contextOf(
  facts: Facts,
  names: Names,
  made: (schema: string | undefined, name: string) => Relation | undefined = () => undefined,
  recorder?: Recorder,
): Context {
  const context: Context = {
    facts,
    names,
    recorder,
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
