import Type from 'typebox';
import type { Protocol } from '../protocol.js';
import { AuditSchema } from './audit-schema.js';
import { BoundsSchema } from './bounds.js';
import { IdentitySchema, type IdentityInput } from './identity-schema.js';
import { plannedListeners, plannedProtocols } from './planned.js';
import { type PolicyInput, PolicySchema } from './policy-schema.js';
import { RecordingsSchema, type RecordingsInput } from './recordings.js';
import { FileReferenceSchema } from './references-schema.js';
import { closed, duration, text } from './schema-parts.js';
import { StatePostgresSchema } from './state-schema.js';
import { VaultSectionSchema, type VaultInput } from './vault-schema.js';
import { WebhookSchema, webhooks_max } from './webhooks-schema.js';

/**
 * The form of sallyport.yaml. One schema serves the loader, the editors (docs/sallyport.schema.json, written by
 * `npm run schemas`) and the types below. `x-problem` is what the loader says where that very keyword fails, for rules
 * that a keyword cannot explain by itself.
 */

const AddressSchema = Type.String({
  description: 'HOST:PORT, [IPV6]:PORT. Port 0 takes any free one.',
  pattern: '^(\\[[0-9A-Fa-f:.%]+\\]|[^\\[\\]:/\\s]+):[0-9]{1,5}$',
  title: 'HOST:PORT',
  'x-problem': 'is no address; write HOST:PORT, as in 127.0.0.1:5432 or [::1]:5432',
});

const ListenerTlsSchema = Type.Object(
  {
    certificate: FileReferenceSchema,
    key: FileReferenceSchema,
    client_authorities: Type.Optional({
      ...FileReferenceSchema,
      description: 'Who vouches for certificates of clients, PEM; they are asked for one. Absent: they are not asked.',
    }),
  },
  closed,
);

const ListenerSchema = Type.Union([
  AddressSchema,
  Type.Object(
    { address: AddressSchema, tls: Type.Optional(ListenerTlsSchema), bounds: Type.Optional(BoundsSchema) },
    { ...closed, title: '{address: HOST:PORT, tls: {certificate: {file: …}, key: {file: …}}, bounds: {…}}' },
  ),
]);

const SshListenerSchema = Type.Union([
  AddressSchema,
  Type.Object(
    {
      address: AddressSchema,
      host_key: Type.Optional({
        ...FileReferenceSchema,
        description: 'The private key that clients know the gateway by. Absent: one is made, in the state directory.',
      }),
      host_ca: Type.Optional({
        ...FileReferenceSchema,
        description: 'The private Ed25519 key that vouches for it. Absent: one is made, in the state directory.',
      }),
      bounds: Type.Optional(BoundsSchema),
    },
    { ...closed, title: '{address: HOST:PORT, host_key: {file: …}, host_ca: {file: …}, bounds: {…}}' },
  ),
]);

const EgressListenerSchema = Type.Union([
  AddressSchema,
  Type.Object(
    {
      address: AddressSchema,
      tls: Type.Optional(ListenerTlsSchema),
      authority: Type.Optional(
        Type.Object(
          { certificate: FileReferenceSchema, key: FileReferenceSchema },
          {
            ...closed,
            title: '{certificate: {file: …}, key: {file: …}}',
            description:
              'The authority that clients trust for targets with egress.intercept; both PEM. Read again when they change.',
          },
        ),
      ),
      bounds: Type.Optional(BoundsSchema),
    },
    {
      ...closed,
      title: '{address: HOST:PORT, tls: {…}, authority: {certificate: {file: …}, key: {file: …}}, bounds: {…}}',
    },
  ),
]);

const listenerSchemas: Readonly<Record<string, typeof SshListenerSchema | typeof EgressListenerSchema>> = {
  ssh: SshListenerSchema,
  egress: EgressListenerSchema,
};

const PlannedListenerSchema = Type.Union([
  AddressSchema,
  Type.Object(
    {
      address: AddressSchema,
      tls: Type.Optional(ListenerTlsSchema),
      host_key: Type.Optional(FileReferenceSchema),
      host_ca: Type.Optional(FileReferenceSchema),
    },
    { title: '{address: HOST:PORT, …}' },
  ),
]);

const TargetSchema = Type.Object(
  {
    name: Type.String({
      pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$',
      description: 'What clients ask for.',
      'x-problem': 'is no target name: letters, digits, ".", "_" and "-", at most 63, starting with a letter or digit',
    }),
    protocol: Type.String(),
    labels: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'What policy may tell targets apart by.' }),
    ),
    upstream: Type.Object({}, { description: "The guarded system; its keys are its protocol's." }),
  },
  closed,
);

const StateSchema = Type.Object(
  {
    directory: Type.Optional(Type.String({ minLength: 1, default: './.sallyport' })),
    postgres: Type.Optional(
      Type.Union([...StatePostgresSchema.anyOf], {
        description:
          'A database that all replicas share: postgres://USER:PASSWORD@HOST:PORT/DATABASE. Absent: one that the gateway starts for itself, in the state directory, when something needs it.',
      }),
    ),
  },
  closed,
);

const ApprovalsSchema = Type.Object(
  {
    waiting_max: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100_000,
        default: 1_000,
        description: 'Requests that may wait at once, on all replicas together.',
      }),
    ),
    per_principal_max: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, default: 20, description: 'Of them, those of one principal.' }),
    ),
    receipt: Type.Optional(duration('How long the session that waited has to use what it was given.', '1m')),
    preview_locks: Type.Optional(
      duration('How long what runs to be looked at may keep its locks, before it is undone.', '1m'),
    ),
    webhooks: Type.Optional(
      Type.Array(WebhookSchema, {
        maxItems: webhooks_max,
        description: 'What is told of requests, and through what people may answer them.',
      }),
    ),
    retention: Type.Optional(
      duration('How long a request is kept once it is over, with its answers; the audit keeps its own.', '90d'),
    ),
  },
  closed,
);

/** Fewer characters could be guessed by whoever has a value and its hash. */
export const maskKey_chars_min = 32;

const MasksSchema = Type.Object(
  {
    key: Type.Optional(
      Type.Union([Type.String({ minLength: 1, title: 'a string' }), FileReferenceSchema], {
        description:
          'The secret behind hash and tokenize: at least 32 characters, the same for all replicas. Absent: one that is made once, in the state directory.',
      }),
    ),
  },
  closed,
);

const SignInSchema = Type.Object(
  {
    provider: Type.Optional(text('The name of one of identity.providers; absent: the only one.')),
    client_id: text('What the provider calls the console.'),
    client_secret: Type.Optional(
      Type.Union([Type.String({ minLength: 1, title: 'a string' }), FileReferenceSchema], {
        description: 'Absent: a public client. PKCE is used either way.',
      }),
    ),
    scopes: Type.Optional(
      Type.Array(
        Type.String({
          pattern: '^[!#-\\[\\]-~]+$',
          'x-problem': 'is no scope: one word, without quotes and backslashes',
        }),
        { uniqueItems: true, description: 'What is asked for beside openid, so that the ID token names groups.' },
      ),
    ),
  },
  {
    ...closed,
    description: 'How people sign in to the console: OpenID Connect, code flow with PKCE. Absent: no console.',
  },
);

const ConsoleSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        pattern: '^https://[^\\s/?#]+/?$',
        description: 'Where people reach it: https://HOST or https://HOST:PORT.',
        'x-problem': 'must be https://HOST or https://HOST:PORT, without a path',
      }),
    ),
    administrators: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        uniqueItems: true,
        description: 'Groups that may see everything, end sessions and take back grants.',
      }),
    ),
    auditors: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), { uniqueItems: true, description: 'Groups that may see everything.' }),
    ),
    publishers: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        uniqueItems: true,
        description: 'Groups that may publish what replays found, and see nothing for that.',
      }),
    ),
    policy_link: Type.Optional(
      Type.String({
        pattern: '^https://[^\\s]+$',
        description: "Where a rule's line can be read, with {commit}, {file} and {line} in it.",
        'x-problem': 'must be an https:// address, as in https://git.example/policy/blob/{commit}/{file}#L{line}',
      }),
    ),
    sign_in: Type.Optional(SignInSchema),
  },
  {
    ...closed,
    description: 'Who may do what through the API and the console, and what the gateway is called from outside.',
  },
);

/** What can be written in the file. Upstreams and listeners are typed by whoever knows their protocol. */
export interface ConfigFile {
  readonly listen?: Readonly<Record<string, ListenerInput>>;
  readonly identity: IdentityInput;
  readonly policy: PolicyInput;
  readonly targets?: readonly Type.Static<typeof TargetSchema>[];
  readonly state?: Type.Static<typeof StateSchema>;
  readonly approvals?: Type.Static<typeof ApprovalsSchema>;
  readonly audit?: Type.Static<typeof AuditSchema>;
  readonly console?: Type.Static<typeof ConsoleSchema>;
  readonly masks?: Type.Static<typeof MasksSchema>;
  readonly recordings?: RecordingsInput;
  readonly vault?: VaultInput;
}
export type ListenerInput =
  | string
  | {
      readonly address: string;
      readonly tls?: Type.Static<typeof ListenerTlsSchema>;
      readonly host_key?: Type.Static<typeof FileReferenceSchema>;
      readonly host_ca?: Type.Static<typeof FileReferenceSchema>;
      readonly authority?: { readonly certificate: { readonly file: string }; readonly key: { readonly file: string } };
      readonly bounds?: Type.Static<typeof BoundsSchema>;
    };
export type WebhookInput = Type.Static<typeof WebhookSchema>;
export type TargetFileInput = Type.Static<typeof TargetSchema>;

/** The names that a protocol's listeners have in `listen`. */
export const listenersOf = (protocol: Protocol): string[] => [
  ...(protocol.listen === undefined ? [] : [protocol.name]),
  ...Object.keys(protocol.listeners ?? {}),
];

/** The JSON Schema of sallyport.yaml, with the upstreams of the protocols that are built. */
export function configSchema(protocols: readonly Protocol[]) {
  const built = new Set(protocols.map((protocol) => protocol.name));
  const planned = Object.entries(plannedProtocols).filter(([name]) => !built.has(name));
  const listeners = {
    ...Object.fromEntries(plannedListeners.map((name) => [name, Type.Optional(PlannedListenerSchema)])),
    ...Object.fromEntries(
      [...protocols.flatMap(listenersOf), 'https'].map((name) => [
        name,
        Type.Optional(listenerSchemas[name] ?? ListenerSchema),
      ]),
    ),
  };
  const upstreams = [...protocols.map(({ name, upstreamSchema }) => [name, upstreamSchema] as const), ...planned];
  const target = {
    ...TargetSchema,
    properties: {
      ...TargetSchema.properties,
      protocol: { type: 'string', enum: upstreams.map(([name]) => name), description: 'What it is spoken to in.' },
    },
    allOf: upstreams.map(([name, schema]) => ({
      if: { properties: { protocol: { const: name } }, required: ['protocol'] },
      then: { properties: { upstream: schema } },
    })),
  };
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'sallyport.yaml',
    ...Type.Object(
      {
        listen: Type.Optional(
          Type.Object(listeners, {
            ...closed,
            description: 'Where clients connect; a listener that is left out is not started.',
          }),
        ),
        identity: IdentitySchema,
        policy: PolicySchema,
        targets: Type.Optional(Type.Array(Type.Unsafe<TargetFileInput>(target))),
        state: Type.Optional(StateSchema),
        approvals: Type.Optional(ApprovalsSchema),
        audit: Type.Optional(AuditSchema),
        console: Type.Optional(ConsoleSchema),
        masks: Type.Optional(MasksSchema),
        recordings: Type.Optional(RecordingsSchema),
        vault: Type.Optional(VaultSectionSchema),
      },
      closed,
    ),
  };
}

/** The schema as it is published for editors, in docs/sallyport.schema.json: without what only the loader reads. */
export function publishedSchema(protocols: readonly Protocol[]): string {
  const without = (key: string, value: unknown) => (key === 'x-problem' ? undefined : value);
  return `${JSON.stringify(configSchema(protocols), without, 2)}\n`;
}
