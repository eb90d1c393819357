import Type from 'typebox';

/** `operation.mcp` of the input document. */

const closed = { additionalProperties: false } as const;

export const McpOperationSchema = Type.Object(
  {
    method: Type.String({
      description:
        'initialize, tools/call, resources/read, …, notifications/cancelled; of a server, sampling/createMessage, elicitation/create, roots/list; stream: listening to what the server says by itself.',
    }),
    from: Type.Unsafe<'client' | 'server'>({
      type: 'string',
      enum: ['client', 'server'],
      description: 'Who asks. server: the principal’s client would answer the server.',
    }),
    server: Type.String({ description: 'HOST:PORT of the upstream, or the program that is started.' }),
    tool: Type.Optional(Type.String({ description: 'Of tools/call.' })),
    arguments: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description:
          "Of tools/call, checked against the tool's schema before it is sent. Absent at the stage prepare: it is asked whether the tool is shown.",
      }),
    ),
    annotations: Type.Optional(
      Type.Record(Type.String(), Type.Boolean(), {
        description:
          'What the server says of the tool (readOnlyHint, destructiveHint, idempotentHint, openWorldHint): its word, worth what `pin` is.',
      }),
    ),
    digest: Type.Optional(Type.String({ description: "SHA-256 of the tool's definition: description, schemas, all." })),
    pin: Type.Optional(
      Type.Unsafe<Pin>({
        type: 'string',
        enum: ['pinned', 'seen', 'changed', 'unpinned', 'unknown'],
        description:
          'pinned: as the configuration names it. seen: as when this gateway first saw it. changed, unpinned and unknown tools are refused whatever policy says.',
      }),
    ),
    uri: Type.Optional(Type.String({ description: 'Of resources/read, subscribe and unsubscribe.' })),
    prompt: Type.Optional(Type.String({ description: 'Of prompts/get.' })),
    params: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), {
        description: 'Of all other methods: what is sent, `_meta` aside.',
      }),
    ),
  },
  { ...closed, description: 'What only MCP knows.' },
);
export type Pin = 'pinned' | 'seen' | 'changed' | 'unpinned' | 'unknown';
export type McpOperation = Type.Static<typeof McpOperationSchema>;
