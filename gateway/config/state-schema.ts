import Type from 'typebox';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';

const closed = { additionalProperties: false } as const;

const tlsModes = ['disable', 'require', 'verify-full'] as const;
const TlsModeSchema = Type.Unsafe<(typeof tlsModes)[number]>({
  type: 'string',
  enum: [...tlsModes],
  title: tlsModes.join(' | '),
  description:
    'disable: in clear, on loopback only. require: encrypted, the server is not verified. verify-full: certificate and name are verified.',
});

/** A database of the gateway's: postgres://USER:PASSWORD@HOST:PORT/DATABASE. */
export const StatePostgresSchema = Type.Union([
  Type.String({ minLength: 1, title: 'postgres://…' }),
  FileReferenceSchema,
  Type.Object(
    {
      url: SecretSchema,
      tls: Type.Optional(
        Type.Union([
          TlsModeSchema,
          Type.Object(
            { mode: TlsModeSchema, ca: Type.Optional(SecretSchema) },
            { ...closed, title: '{mode: …, ca: {file: …}}' },
          ),
        ]),
      ),
    },
    { ...closed, title: '{url: postgres://…, tls: …}' },
  ),
]);
