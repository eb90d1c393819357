import Type from 'typebox';
import { durationPattern, sizePattern } from './duration.js';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';
import { StatePostgresSchema } from './state-schema.js';

/** `audit`: where records go, when files are rotated, and what signs them. */

const closed = { additionalProperties: false } as const;

export const sinks_max = 10;
/** Further behind, what a sink has and what the files have are two different things. */
export const behind_records_max = 10_000_000;

const behind = {
  name: Type.Optional(
    Type.String({
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
      description: 'What records and messages call it. Absent: http, otlp or postgres.',
      'x-problem': 'is no name of a sink: small letters, digits and "-", at most 63',
    }),
  ),
  fail: Type.Optional(
    Type.Unsafe<'closed' | 'open'>({
      type: 'string',
      enum: ['closed', 'open'],
      default: 'closed',
      description:
        'While it is further behind than its buffer allows: closed: what has to be recorded is refused. open: records are left out of it, which is recorded.',
    }),
  ),
  buffer: Type.Optional(
    Type.Object(
      {
        records: Type.Optional(Type.Integer({ minimum: 1, maximum: behind_records_max, default: 10_000 })),
        size: Type.Optional(
          Type.String({
            pattern: sizePattern,
            default: '64MiB',
            'x-problem': 'is no size; write 512KiB, 64MiB or 1GiB',
          }),
        ),
      },
      { ...closed, description: 'So far it may be behind the files.' },
    ),
  ),
};

const ReceiverSchema = Type.Object(
  {
    url: Type.Union([Type.String({ minLength: 1, title: 'https://…' }), FileReferenceSchema], {
      description: 'What is posted to; https, http on loopback only.',
    }),
    headers: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 256 }), SecretSchema, {
        description: `Sent with each request: {Authorization: "Bearer \${TOKEN}"}.`,
      }),
    ),
    ca: Type.Optional(FileReferenceSchema),
    timeout: Type.Optional(
      Type.String({
        pattern: durationPattern,
        default: '10s',
        description: 'How long one request may take; at most 1m.',
        'x-problem': 'is no duration; write 10s or 1m',
      }),
    ),
  },
  closed,
);

const SinkSchema = Type.Union([
  Type.Object(
    { file: Type.String({ minLength: 1, description: 'JSON lines are appended here.' }) },
    { ...closed, title: '{file: PATH}' },
  ),
  Type.Object({ http: ReceiverSchema, ...behind }, { ...closed, title: '{http: {url: …}}' }),
  Type.Object({ otlp: ReceiverSchema, ...behind }, { ...closed, title: '{otlp: {url: …}}' }),
  Type.Object(
    {
      postgres: Type.Union([Type.Unsafe<'state'>({ const: 'state', title: 'state' }), StatePostgresSchema], {
        description: "state: the gateway's own database. Else one that is given.",
      }),
      ...behind,
    },
    { ...closed, title: '{postgres: state}' },
  ),
]);
export type SinkInput = Type.Static<typeof SinkSchema>;

export const AuditSchema = Type.Object(
  {
    durability: Type.Optional(
      Type.Unsafe<'disk' | 'memory'>({
        type: 'string',
        enum: ['disk', 'memory'],
        description:
          'disk: on disk before the operation goes on. memory: written soon after. Absent: disk for everything but reads.',
      }),
    ),
    sinks: Type.Optional(
      Type.Array(SinkSchema, {
        minItems: 1,
        maxItems: sinks_max,
        description:
          'Each gets every record, files first. Where no file is among them: audit.jsonl in the state directory.',
      }),
    ),
    rotation: Type.Optional(
      Type.Object(
        {
          size: Type.Optional(
            Type.String({
              pattern: sizePattern,
              default: '1GiB',
              description: 'A file that is so large is rotated away.',
              'x-problem': 'is no size; write 512KiB, 256MiB or 1GiB',
            }),
          ),
          age: Type.Optional(
            Type.String({
              pattern: durationPattern,
              description: 'Likewise one whose first record is so old. Absent: age does not count.',
              'x-problem': 'is no duration; write 12h, 1d or 7d',
            }),
          ),
        },
        { ...closed, description: 'When files are rotated away; what comes next begins another.' },
      ),
    ),
    retention: Type.Optional(
      Type.String({
        pattern: durationPattern,
        description:
          'Files that were rotated away longer ago are removed, once a signature says so. Absent: nothing is removed.',
        'x-problem': 'is no duration; write 30d, 90d or 365d',
      }),
    ),
    signing_key: Type.Optional(
      Type.Union([Type.String({ minLength: 1, title: 'a string' }), FileReferenceSchema], {
        description:
          'The Ed25519 key that signs how far the records have come: PKCS #8 as PEM. Absent: one that is made once, in the state directory.',
      }),
    ),
  },
  closed,
);
