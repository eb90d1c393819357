import Type from 'typebox';

/** `operation.http.graphql` of the input document. */

const closed = { additionalProperties: false } as const;

const FieldSchema = Type.Object(
  {
    path: Type.String({ description: 'Names from the root on, aliases aside: user.posts.title.' }),
    name: Type.String({ description: 'The last of them.' }),
    alias: Type.Optional(Type.String({ description: 'What the client wants it to be called.' })),
    arguments: Type.Record(Type.String(), Type.Unknown(), { description: 'With the values of variables.' }),
    on: Type.Optional(
      Type.Array(Type.String(), { description: 'Types for which it is asked for, by the fragments around it.' }),
    ),
    directives: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Names; those of the fragments around it, too. A field that is skipped is listed.',
      }),
    ),
  },
  closed,
);
export type GraphqlField = Type.Static<typeof FieldSchema>;

const RequestSchema = Type.Object(
  {
    type: Type.Unsafe<'query' | 'mutation' | 'subscription'>({
      type: 'string',
      enum: ['query', 'mutation', 'subscription'],
    }),
    name: Type.Optional(Type.String({ description: "The operation's own, in the document." })),
    fields: Type.Array(FieldSchema, { description: 'All of them, fragments put in place, parents before children.' }),
  },
  closed,
);
export type GraphqlRequest = Type.Static<typeof RequestSchema>;

export const GraphqlSchema = Type.Object(
  {
    requests: Type.Array(RequestSchema, { description: 'One; of a batch, each of them in order.' }),
    persisted: Type.Optional(
      Type.Array(Type.String(), { description: 'SHA-256 of documents that are not in the request, in hexadecimal.' }),
    ),
    unreadable: Type.Optional(
      Type.String({ description: 'Why it cannot be read in one way; then the operation is opaque.' }),
    ),
  },
  closed,
);
export type Graphql = Type.Static<typeof GraphqlSchema>;
