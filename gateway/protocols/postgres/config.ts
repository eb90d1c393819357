import { X509Certificate } from 'node:crypto';
import Type from 'typebox';
import { SecretSchema } from '../../elsewhere.js';
import { ConfigError } from '../../errors.js';

/** A target's `upstream`: where the guarded server is, and as whom the gateway signs in there. */

/** How the connection to the server is kept secret, in the words of libpq's sslmode. */
export type PostgresTlsMode = 'disable' | 'require' | 'verify-full';

/** What the file says, with secrets resolved and defaults filled in. */
export interface PostgresUpstream {
  /** A host name, an address, or the folder of a Unix socket ("/run/postgresql"). */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly tls: {
    readonly mode: PostgresTlsMode;
    /** PEM, one certificate or several; absent: the authorities that the system trusts. */
    readonly ca?: string;
    /** The name in the server's certificate where it is not `host`. */
    readonly serverName?: string;
  };
}

const port_default = 5432;
const closed = { additionalProperties: false } as const;
const modes = ['disable', 'require', 'verify-full'] as const;

/** 127.0.0.0/8, ::1, localhost, or a Unix socket: where nobody else can listen in. */
const loopbackPattern = '^(127(\\.[0-9]{1,3}){3}|::1|localhost|/.*)$';
const loopback = new RegExp(loopbackPattern, 'u');

const ModeSchema = Type.Unsafe<PostgresTlsMode>({
  type: 'string',
  enum: [...modes],
  title: modes.join(' | '),
  description:
    'disable: in clear, on loopback only. require: encrypted, the server is not verified. verify-full: certificate and name are verified.',
});

const disabled = {
  anyOf: [{ const: 'disable' }, { type: 'object', properties: { mode: { const: 'disable' } }, required: ['mode'] }],
};

const FormSchema = Type.Object(
  {
    host: Type.String({ minLength: 1, description: "A name, an address, or a Unix socket's folder." }),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, default: port_default })),
    database: Type.String({ minLength: 1 }),
    user: Type.Union([...SecretSchema.anyOf], {
      description: "The gateway's own role there; clients never learn its password.",
    }),
    password: Type.Optional(SecretSchema),
    tls: Type.Optional(
      Type.Union(
        [
          ModeSchema,
          Type.Object(
            {
              mode: ModeSchema,
              ca: Type.Optional(SecretSchema),
              server_name: Type.Optional(Type.String({ minLength: 1 })),
            },
            {
              ...closed,
              title: '{mode: …, ca: {file: …}, server_name: …}',
              if: { properties: { mode: { enum: ['disable', 'require'] } }, required: ['mode'] },
              then: {
                properties: {
                  ca: {
                    not: {},
                    'x-problem': 'is only looked at by mode: verify-full; choose that mode, or leave it out',
                  },
                },
              },
            },
          ),
        ],
        { description: 'Absent: verify-full, and disable on loopback.' },
      ),
    ),
  },
  {
    ...closed,
    if: { properties: { host: { not: { pattern: loopbackPattern } } }, required: ['host'] },
    then: {
      properties: {
        tls: {
          not: disabled,
          'x-problem':
            'would send the password and all data in clear to another machine: disable is for loopback only; choose verify-full',
        },
      },
    },
  },
);

interface PostgresUpstreamForm {
  readonly host: string;
  readonly port?: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly tls?:
    PostgresTlsMode | { readonly mode: PostgresTlsMode; readonly ca?: string; readonly server_name?: string };
}

/** Fills in the defaults; throws ConfigError where the authority's file holds no certificate. */
export function readPostgresUpstream(form: unknown): PostgresUpstream {
  const { host, port = port_default, database, user, password, tls } = form as PostgresUpstreamForm;
  const given = typeof tls === 'string' ? { mode: tls } : tls;
  const mode = given?.mode ?? (loopback.test(host) ? 'disable' : 'verify-full');
  if (given?.ca !== undefined) checkAuthority(given.ca);
  return {
    host,
    port,
    database,
    user,
    ...(password !== undefined && { password }),
    tls: {
      mode,
      ...(given?.ca !== undefined && { ca: given.ca }),
      ...(given?.server_name !== undefined && { serverName: given.server_name }),
    },
  };
}

function checkAuthority(pem: string): void {
  try {
    new X509Certificate(pem);
  } catch (error) {
    throw new ConfigError('the file of tls.ca holds no certificate in PEM form ("-----BEGIN CERTIFICATE-----")', {
      cause: error,
    });
  }
}

/** The schema of `upstream`, which also reads it: decoding gives a PostgresUpstream. */
export const PostgresUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readPostgresUpstream(form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
