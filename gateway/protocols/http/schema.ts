import Type from 'typebox';
import { CloudSchema } from './cloud/reading.js';
import { GraphqlSchema } from './graphql/schema.js';

/** `operation.http` of the input document. */

const closed = { additionalProperties: false } as const;
const lists = (description: string) => Type.Record(Type.String(), Type.Array(Type.String()), { description });

const PartSchema = Type.Object(
  {
    name: Type.String(),
    filename: Type.Optional(Type.String({ description: 'As it is written.' })),
    media_type: Type.Optional(
      Type.String({ description: 'Lower case, without parameters. Absent: the part says none.' }),
    ),
    bytes: Type.Integer({ minimum: 0 }),
    sha256: Type.String({ description: 'Hexadecimal.' }),
    text: Type.Optional(
      Type.String({ description: 'Absent: nothing of it is understood, and the operation is opaque.' }),
    ),
  },
  closed,
);

const BodySchema = Type.Object(
  {
    kind: Type.Unsafe<'json' | 'form' | 'multipart' | 'text' | 'binary'>({
      type: 'string',
      enum: ['json', 'form', 'multipart', 'text', 'binary'],
      description: 'binary: nothing of it is understood, and the operation is opaque.',
    }),
    media_type: Type.String({ description: 'Lower case, without parameters.' }),
    bytes: Type.Integer({ minimum: 0 }),
    sha256: Type.String({ description: 'Hexadecimal, of what goes to the upstream.' }),
    json: Type.Optional(Type.Unknown({ description: 'The value, where the kind is json.' })),
    form: Type.Optional(lists('The values of each name, where the kind is form.')),
    text: Type.Optional(Type.String({ description: 'The text, where the kind is text.' })),
    parts: Type.Optional(Type.Array(PartSchema, { description: 'In order, where the kind is multipart.' })),
  },
  closed,
);

export const HttpOperationSchema = Type.Object(
  {
    method: Type.String({
      description: 'GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE; CONNECT for a tunnel through the egress proxy.',
    }),
    scheme: Type.String({ description: 'http or https.' }),
    host: Type.String({ description: 'HOST:PORT of the upstream.' }),
    path: Type.String({ description: 'As the upstream gets it: each segment encoded in one way.' }),
    segments: Type.Array(Type.String(), { description: 'The same, decoded.' }),
    operationId: Type.Optional(
      Type.String({ description: "By the API's document. Absent: it does not know the request, or gives it no name." }),
    ),
    template: Type.Optional(Type.String({ description: "The path as the API's document has it: /machines/{id}." })),
    path_parameters: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Of the template, decoded.' }),
    ),
    query: lists('All values of each name, decoded.'),
    headers: Type.Record(Type.String(), Type.String(), {
      description: 'By lower-case name, without credentials and what concerns the connection alone.',
    }),
    credentials: Type.Array(Type.String(), {
      description: "Names of the client's own credentials that go along: of targets for which the gateway has none.",
    }),
    body: Type.Optional(BodySchema),
    connect: Type.Optional(
      Type.Object(
        {
          host: Type.String({ description: 'Lower case; an address without brackets.' }),
          port: Type.Integer({ minimum: 1, maximum: 65_535 }),
          intercepted: Type.Boolean({ description: 'Each request in it is an operation of its own.' }),
        },
        { ...closed, description: 'Where a tunnel through the egress proxy leads.' },
      ),
    ),
    graphql: Type.Optional(GraphqlSchema),
    cloud: Type.Optional(CloudSchema),
  },
  { ...closed, description: 'What only HTTP knows.' },
);
export type HttpOperation = Type.Static<typeof HttpOperationSchema>;
