import Type from 'typebox';
import { durationPattern } from './duration.js';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';

/** `approvals.webhooks`: what is told of requests, and through what people may answer them. */

const closed = { additionalProperties: false } as const;
const groupName = Type.String({ minLength: 1 });

export const hookEvents = ['requested', 'effect', 'answered', 'ended'] as const;
export type HookEvent = (typeof hookEvents)[number];

export const webhooks_max = 20;

const PersonSchema = Type.Object(
  {
    subject: Type.String({
      minLength: 1,
      maxLength: 256,
      description: 'Who they are: the "sub" of their tokens from the provider.',
    }),
    groups: Type.Array(groupName, { uniqueItems: true, description: 'Groups that they are in.' }),
  },
  closed,
);

export const PeopleSchema = Type.Record(Type.String({ minLength: 1, maxLength: 256 }), PersonSchema);

const AnswersSchema = Type.Object(
  {
    provider: Type.String({
      minLength: 1,
      description: 'The name of the identity provider whose subjects these people are.',
    }),
    groups: Type.Array(groupName, {
      minItems: 1,
      uniqueItems: true,
      description: 'Groups that this webhook may speak for: whatever else people are in does not count through it.',
    }),
    people: Type.Union(
      [
        Type.Object({ file: FileReferenceSchema.properties.file }, { ...closed, title: '{file: PATH}' }),
        Type.Unsafe<Record<string, { subject: string; groups: string[] }>>({
          ...PeopleSchema,
          title: '{NAME: {subject: …, groups: […]}}',
        }),
      ],
      {
        description:
          'By their name at the other side (Slack: the user id) who people are. A file has the same in it, as YAML, and is read again when it changes.',
      },
    ),
    team: Type.Optional(
      Type.String({
        pattern: '^T[A-Z0-9]{1,30}$',
        description: 'Slack: the id of the one workspace that answers may come from.',
        'x-problem': 'is no id of a Slack workspace; it begins with T',
      }),
    ),
  },
  { ...closed, description: 'Through POST /v1/hooks/NAME; absent: nobody answers through this webhook.' },
);

export const WebhookSchema = Type.Object(
  {
    name: Type.String({
      pattern: '^[a-z0-9][a-z0-9-]{0,62}$',
      description: 'What records call it, and the last part of its path.',
      'x-problem': 'is no name of a webhook: small letters, digits and "-", at most 63',
    }),
    type: Type.Optional(
      Type.Unsafe<'json' | 'slack'>({
        type: 'string',
        enum: ['json', 'slack'],
        default: 'json',
        description: 'json: signed JSON, in the form of Standard Webhooks. slack: messages with buttons.',
      }),
    ),
    url: Type.Optional(
      Type.Union([Type.String({ minLength: 1, title: 'https://…' }), FileReferenceSchema], {
        description: 'Where it is told; https, http on loopback only. Absent: nothing is sent, answers may come in.',
      }),
    ),
    ca: Type.Optional(FileReferenceSchema),
    secrets: Type.Array(SecretSchema, {
      minItems: 1,
      maxItems: 2,
      description:
        'What messages are signed with, the newer one first: at least 32 characters, or whsec_ and 32 bytes in base64. Slack: the signing secret of the app.',
    }),
    events: Type.Optional(
      Type.Array(Type.Unsafe<HookEvent>({ type: 'string', enum: [...hookEvents] }), {
        minItems: 1,
        uniqueItems: true,
        description:
          'What it is told of; absent: all. Of Slack: effect, answered and ended as far as a channel needs them.',
      }),
    ),
    timeout: Type.Optional(
      Type.String({
        pattern: durationPattern,
        default: '5s',
        description: 'How long one attempt may take; at most 30s.',
        'x-problem': 'is no duration; write 30s, 15m, 1h or 1h30m',
      }),
    ),
    attempts: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 20, default: 8, description: 'After so many it is given up, and recorded.' }),
    ),
    answers: Type.Optional(AnswersSchema),
  },
  closed,
);
