import { accesses, actions, uses } from '#engine';
import Type from 'typebox';

/** `operation.postgres` of the input document. Mirrors `StatementFacts` in judging/statement.ts. */

const closed = { additionalProperties: false } as const;
const choice = <const T extends readonly string[]>(values: T) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values] });

const StatementSchema = Type.Object(
  {
    kind: Type.String({
      description: 'select, insert, update, delete, merge, copy, truncate, call, explain, create_table, …',
    }),
    action: choice(actions),
    opaque: Type.Boolean(),
    bounded: Type.Boolean({
      description:
        'False only for UPDATE and DELETE without a WHERE that depends on the row, and for a MERGE that does so without such a condition.',
    }),
    fingerprint: Type.String({ description: 'Equal for statements that differ in their literals only.' }),
    relations: Type.Array(
      Type.Object(
        { name: Type.String(), access: choice(accesses), type: Type.String(), via: Type.Optional(Type.String()) },
        closed,
      ),
    ),
    columns: Type.Array(
      Type.Object(
        { name: Type.String(), use: choice(uses), access: choice(accesses), via: Type.Optional(Type.String()) },
        closed,
      ),
    ),
    functions: Type.Array(Type.String()),
    settings: Type.Array(Type.String()),
    limit: Type.Optional(Type.Integer({ minimum: 0 })),
    unresolved: Type.Array(Type.String()),
    because: Type.Optional(Type.Array(Type.String())),
  },
  closed,
);

export const PostgresOperationSchema = Type.Object(
  {
    statement: Type.String({ description: 'The text as the client sent it, secrets replaced.' }),
    statements: Type.Array(StatementSchema),
    parameters: Type.Optional(
      Type.Array(Type.Union([Type.String(), Type.Null()]), {
        description: "Bind values in the type's text form; null is SQL's NULL. Absent at prepare.",
      }),
    ),
    database: Type.String(),
    user: Type.String({ description: "The upstream's role, never the client's." }),
  },
  closed,
);
export type PostgresOperation = Type.Static<typeof PostgresOperationSchema>;
