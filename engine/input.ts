import Type from 'typebox';

/**
 * The input document, version 1: the only thing that policy sees of an operation.
 *
 * These definitions are the one source of three things: the TypeScript types below, the JSON Schemas in
 * `rego/schemas/` (written by `npm run schemas`, which each protocol extends with its own object) and the reference in
 * the documentation. A field that is missing is absent, never null.
 */

const closed = { additionalProperties: false } as const;

/** What an operation does, weakest to strongest: the action of an operation is the strongest of its parts. */
export const actions = [
  'connect',
  'session',
  'read',
  'write',
  'delete',
  'execute',
  'transfer',
  'define',
  'administer',
] as const;
export type Action = (typeof actions)[number];

/** How a resource is touched. */
export const accesses = [
  'read',
  'insert',
  'update',
  'delete',
  'truncate',
  'execute',
  'define',
  'administer',
  'use',
] as const;
export type Access = (typeof accesses)[number];

/** What a value is used for inside an operation. */
export const uses = ['output', 'predicate', 'join', 'group', 'order', 'write', 'argument'] as const;
export type Use = (typeof uses)[number];

const literals = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: 'string', enum: [...values], description });

export const ActorSchema = Type.Object(
  { subject: Type.String({ description: 'On whose behalf the principal acts (RFC 8693 "act").' }) },
  closed,
);

export const PrincipalSchema = Type.Object(
  {
    subject: Type.String({ description: 'Who asks, from the verified token. Unique within its issuer only.' }),
    issuer: Type.String({ description: 'Who vouches for the subject.' }),
    kind: literals(['agent', 'human', 'service'] as const, 'What sort of principal this is.'),
    groups: Type.Array(Type.String()),
    roles: Type.Array(Type.String()),
    purpose: Type.Optional(Type.String({ description: 'What the work is for, as the token says.' })),
    attributes: Type.Record(Type.String(), Type.Unknown(), {
      description: 'Further claims that the configuration lets through.',
    }),
    actor: Type.Optional(ActorSchema),
    token: Type.Object(
      {
        id: Type.Optional(Type.String({ description: 'The token\'s "jti".' })),
        from: Type.Optional(
          Type.Array(Type.String(), {
            description:
              'Ids of the tokens that the gateway made it from, the latest first; last that of the client certificate beside it.',
          }),
        ),
        issued: Type.Optional(Type.String({ format: 'date-time' })),
        expires: Type.String({ format: 'date-time' }),
      },
      closed,
    ),
  },
  closed,
);
export type Principal = Type.Static<typeof PrincipalSchema>;

export const PromptSchema = Type.Object(
  {
    id: Type.Optional(Type.String({ description: 'The name under which the agent registered its prompt.' })),
    text: Type.Optional(Type.String({ description: 'The prompt itself. Claimed by the agent, never observed.' })),
    trace: Type.Optional(Type.String({ description: 'A W3C traceparent.' })),
  },
  { ...closed, description: 'What made the agent do it: claimed, where the operation is observed.' },
);
export type Prompt = Type.Static<typeof PromptSchema>;

export const SessionSchema = Type.Object(
  {
    id: Type.String(),
    started: Type.String({ format: 'date-time' }),
    client: Type.Object(
      {
        address: Type.String({ description: "The client's network address, without the port." }),
        application: Type.Optional(Type.String({ description: 'What the client calls itself.' })),
      },
      closed,
    ),
    transaction: Type.Optional(
      literals(['idle', 'open', 'failed'] as const, 'Where the session stands, for protocols that have transactions.'),
    ),
    rows: Type.Integer({ minimum: 0, description: 'Rows that this session has been given so far.' }),
    taint: Type.Array(Type.String(), {
      description: "What the principal's running work has seen: labels of `taint` rules, sorted.",
    }),
  },
  closed,
);
export type SessionInput = Type.Static<typeof SessionSchema>;

export const TargetSchema = Type.Object(
  {
    name: Type.String(),
    protocol: Type.String(),
    labels: Type.Record(Type.String(), Type.String()),
  },
  closed,
);
export type TargetInput = Type.Static<typeof TargetSchema>;

export const ResourceSchema = Type.Object(
  {
    type: Type.String({ description: 'relation, column, function, setting, session, file, host, tool, …' }),
    name: Type.String({ description: 'Fully qualified, in the form that its protocol documents.' }),
    access: literals(accesses, 'How the resource is touched.'),
    use: Type.Optional(literals(uses, 'What its value is used for.')),
    labels: Type.Optional(Type.Array(Type.String())),
    via: Type.Optional(
      Type.String({ description: 'The resource through which this one is reached: a view, a trigger, a rule.' }),
    ),
    unresolved: Type.Optional(
      Type.Boolean({ description: 'True: nothing of this name exists where the operation would look for it.' }),
    ),
  },
  closed,
);
export type Resource = Type.Static<typeof ResourceSchema>;

/** The part of an operation that every protocol has; a protocol's own object stands beside it under the protocol's name. */
export const operationProperties = {
  stage: literals(
    ['prepare', 'execute'] as const,
    'prepare: parameters are not known yet. Most protocols know only execute.',
  ),
  action: literals(actions, 'The strongest of what the parts of the operation do.'),
  resources: Type.Array(ResourceSchema, { minItems: 1, description: 'Whatever the operation touches. Never empty.' }),
  opaque: Type.Boolean({ description: 'True: its effects cannot be known from what it says.' }),
  hash: Type.String({ description: 'SHA-256 of the canonical operation, parameters included; hexadecimal.' }),
} as const;

export interface Operation {
  readonly stage: 'prepare' | 'execute';
  readonly action: Action;
  readonly resources: readonly Resource[];
  readonly opaque: boolean;
  readonly hash: string;
  /** One object named after the protocol, for what only it knows. */
  readonly [protocol: string]: unknown;
}

const whole = Type.Integer({ minimum: 0 });
const counts = {
  operations: Type.Object(
    { minute: whole, day: whole },
    { ...closed, description: 'Whatever was asked, refused or not.' },
  ),
  writes: Type.Object(
    { minute: whole, day: whole },
    { ...closed, description: 'Those that were allowed and do more than connect, read, or move their own session.' },
  ),
  rows: Type.Object({ day: whole }, { ...closed, description: 'Rows that went to the client.' }),
  bytes: Type.Object({ day: whole }, { ...closed, description: 'Bytes of results.' }),
  cost: Type.Object(
    { day: Type.Number({ minimum: 0 }) },
    { ...closed, description: 'Units, as `cost` rules count them.' },
  ),
} as const;
export const CountsSchema = Type.Object(counts, closed);
export type Counts = Type.Static<typeof CountsSchema>;

export const UsageSchema = Type.Object(
  {
    ...counts,
    purpose: Type.Object(counts, { ...closed, description: 'The same for this purpose of the principal alone.' }),
    target: Type.Object(counts, { ...closed, description: 'The same for this target alone.' }),
  },
  {
    ...closed,
    description:
      "The principal's use so far, this operation excluded, over all sessions and gateways; days and minutes are UTC's.",
  },
);
export type Usage = Type.Static<typeof UsageSchema>;

/** The whole document, without the nonce that the engine adds. */
export interface Input {
  readonly version: 1;
  /** The gateway's clock, so that policy needs none: RFC 3339, UTC, milliseconds. */
  readonly time: string;
  /** Immutable for the life of a session: the engine remembers by identity what it derived from it. */
  readonly principal: Principal;
  readonly prompt?: Prompt;
  readonly session: SessionInput;
  /** Immutable. */
  readonly target: TargetInput;
  readonly operation: Operation;
  readonly usage: Usage;
}

/** The document's JSON Schema, with what the protocols add under `operation`. */
export function inputSchema(protocols: Record<string, Type.TSchema>) {
  const own = Object.fromEntries(Object.entries(protocols).map(([name, schema]) => [name, Type.Optional(schema)]));
  return Type.Object(
    {
      version: Type.Literal(1),
      time: Type.String({ format: 'date-time', description: "The gateway's clock." }),
      principal: PrincipalSchema,
      prompt: Type.Optional(PromptSchema),
      session: SessionSchema,
      target: TargetSchema,
      operation: Type.Object({ ...operationProperties, ...own }, closed),
      usage: UsageSchema,
    },
    { ...closed, title: 'Sallyport input document, version 1' },
  );
}
