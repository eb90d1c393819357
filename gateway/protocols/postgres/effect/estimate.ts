import type { EffectOnRelation } from '../../../protocol.js';

/** A node of EXPLAIN (FORMAT JSON, VERBOSE), as far as it is read here. */
interface PlanNode {
  readonly 'Node Type'?: string;
  readonly Operation?: string;
  readonly Schema?: string;
  readonly 'Relation Name'?: string;
  readonly 'Plan Rows'?: number;
  readonly 'Parent Relationship'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** Plans nest as deep as statements do; the server has a bound of its own. */
const nodes_max = 10_000;

const kinds = { Insert: 'inserted', Update: 'updated', Delete: 'deleted' } as const;

/**
 * How many rows the plan expects to be written, by relation: what cascades and triggers would write is in no plan. Throws
 * for what is no plan.
 *
 * @see https://www.postgresql.org/docs/current/sql-explain.html
 */
export function expected(explained: string): EffectOnRelation[] {
  const plans = JSON.parse(explained) as readonly { readonly Plan?: PlanNode }[];
  const found = new Map<string, { inserted: number; updated: number; deleted: number }>();
  const open = plans.map(({ Plan }) => Plan);
  for (let seen = 0; seen < nodes_max; seen++) {
    const node = open.pop();
    if (node === undefined) break;
    const { Operation: operation, Schema: schema, 'Relation Name': name, Plans: below = [] } = node;
    open.push(...below);
    if (node['Node Type'] !== 'ModifyTable' || schema === undefined || name === undefined) continue;
    const relation = `${schema}.${name}`;
    const counts = found.get(relation) ?? { inserted: 0, updated: 0, deleted: 0 };
    found.set(relation, counts);
    const source = below.find((each) => each['Parent Relationship'] === 'Outer');
    const rows = Math.round(source?.['Plan Rows'] ?? node['Plan Rows'] ?? 0);
    // A MERGE says of its rows only that they may be written, in one way or another.
    counts[kinds[operation as keyof typeof kinds] ?? 'updated'] += rows;
  }
  return [...found].map(([relation, counts]) => ({ relation, ...counts }));
}
