import Type, { type Static } from 'typebox';
import { durationPattern } from './config/duration.js';

/**
 * The forms in which a value of a target's `upstream` may stand elsewhere. Protocols put them into their schemas; what is
 * read by them has the value itself, in the form of a string.
 */

const closed = { additionalProperties: false } as const;
const duration = (description: string, byDefault: string) =>
  Type.Optional(
    Type.String({
      pattern: durationPattern,
      default: byDefault,
      description,
      'x-problem': 'is no duration; write 30s, 15m, 1h or 1h30m',
    }),
  );

/** How often a value that has no end of its own is asked for again. */
export const refresh_default = '5m';
/** How long a command may run. */
export const command_time_default = '10s';

export const FileSchema = Type.Object(
  {
    file: Type.String({ minLength: 1, description: 'Relative to the configuration file; read again when it changes.' }),
  },
  { ...closed, title: '{file: PATH}' },
);

export const vaultEngines = ['kv-v2', 'kv-v1', 'database'] as const;

export const VaultSchema = Type.Object(
  {
    vault: Type.Object(
      {
        path: Type.String({
          pattern: '^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$',
          description: "As in Vault's API: secret/data/orders, database/creds/shop.",
          'x-problem': "is no path as in Vault's API (secret/data/orders, database/creds/shop), without v1/ before it",
        }),
        field: Type.String({ minLength: 1, description: 'Which of the values there.' }),
        engine: Type.Optional(
          Type.Unsafe<(typeof vaultEngines)[number]>({
            type: 'string',
            enum: [...vaultEngines],
            default: 'kv-v2',
            description: 'What is mounted there. database: credentials with a lease, or those of a static role.',
          }),
        ),
        refresh: duration('Of the kv engines: how often it is read again.', refresh_default),
      },
      closed,
    ),
  },
  { ...closed, title: '{vault: {path: …, field: …}}' },
);

export const CommandSchema = Type.Object(
  {
    command: Type.Array(Type.String({ minLength: 1 }), {
      minItems: 1,
      maxItems: 64,
      description: 'A program and its arguments, run without a shell: its standard output is the value.',
    }),
    environment: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), Type.String(), {
        description: 'Beside PATH, HOME, LANG, TZ and TMPDIR, which are all that it inherits.',
      }),
    ),
    timeout: duration('After which it is ended.', command_time_default),
    refresh: duration('How often it is run again.', refresh_default),
  },
  { ...closed, title: '{command: […]}' },
);

/** A value as it is, usually out of the environment by `${NAME}`, or where it is to be had. */
export const SecretSchema = Type.Union([
  Type.String({ minLength: 1, title: 'a string' }),
  FileSchema,
  VaultSchema,
  CommandSchema,
]);

export type FileReference = Static<typeof FileSchema>;
export type VaultReference = Static<typeof VaultSchema>['vault'];
export type CommandReference = Static<typeof CommandSchema>;
export type Reference = FileReference | { readonly vault: VaultReference } | CommandReference;

/** Whether a value that a schema has let through is one of these forms. */
export function isReference(value: unknown): value is Reference {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { file, vault, command } = value as Record<string, unknown>;
  const keys = Object.keys(value);
  if (keys.length === 1) return typeof file === 'string' || isMapping(vault) || Array.isArray(command);
  return Array.isArray(command) && keys.every((key) => key in CommandSchema.properties);
}

const isMapping = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
