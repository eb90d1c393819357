import Type from 'typebox';
import { SecretSchema } from '../../elsewhere.js';
import { ConfigError } from '../../errors.js';
import { anyHostKey, knownHosts, fingerprints, type HostKeyCheck } from './hostkeys.js';
import { utils } from './library.js';
import { authorityKey, type UpstreamAuthority } from './minted.js';

/** A target's `upstream`: the host, and as whom the gateway logs in there. */
export interface SshUpstream {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly privateKey?: string;
  readonly passphrase?: string;
  readonly password?: string;
  /** Who vouches for a key that is made for each session. */
  readonly authority?: UpstreamAuthority;
  /** Whether this is the host's key; it is never taken on trust. */
  readonly hostKey: HostKeyCheck;
}

const closed = { additionalProperties: false } as const;
const port_default = 22;
const lifetime_default_s = 300;

const FingerprintSchema = Type.String({
  pattern: '^SHA256:[A-Za-z0-9+/]{43}=?$',
  title: 'SHA256:…',
  'x-problem': 'is no fingerprint; write SHA256:…, as ssh-keygen -lf prints it',
});

const FormSchema = Type.Object(
  {
    host: Type.String({ minLength: 1, description: 'A name or an address.' }),
    port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65535, default: port_default })),
    user: Type.String({ minLength: 1, description: "The gateway's own login there." }),
    private_key: Type.Optional(SecretSchema),
    passphrase: Type.Optional(SecretSchema),
    password: Type.Optional(SecretSchema),
    certificate: Type.Optional(
      Type.Object(
        {
          authority: Type.Union(SecretSchema.anyOf, {
            description: "A private Ed25519 key, whose public half is in the host's TrustedUserCAKeys.",
          }),
          principals: Type.Optional(
            Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
              minItems: 1,
              maxItems: 16,
              description: 'Whom the host takes them for; default: user.',
            }),
          ),
          lifetime_seconds: Type.Optional(
            Type.Integer({
              minimum: 30,
              maximum: 3_600,
              default: lifetime_default_s,
              description: 'How long each lives.',
            }),
          ),
        },
        {
          ...closed,
          title: '{authority: …}',
          description: 'Logs in with a certificate that is made for each session, and lives for a few minutes.',
        },
      ),
    ),
    host_key: Type.Optional(
      Type.Union([FingerprintSchema, Type.Array(FingerprintSchema, { minItems: 1, title: 'a list of them' })], {
        description: "The fingerprints of the host's keys, any of which it may show.",
      }),
    ),
    known_hosts: Type.Optional(
      Type.Union([...SecretSchema.anyOf], {
        description: "The host's keys, as in ~/.ssh/known_hosts.",
      }),
    ),
  },
  closed,
);

interface Form {
  readonly host: string;
  readonly port?: number;
  readonly user: string;
  readonly private_key?: string;
  readonly passphrase?: string;
  readonly password?: string;
  readonly certificate?: {
    readonly authority: string;
    readonly principals?: readonly string[];
    readonly lifetime_seconds?: number;
  };
  readonly host_key?: string | readonly string[];
  readonly known_hosts?: string;
}

function readUpstream(form: Form): SshUpstream {
  const { host, port = port_default, user, password, passphrase } = form;
  const authority = readAuthority(form);
  if (form.private_key === undefined && password === undefined && authority === undefined)
    throw new ConfigError('the gateway cannot log in: give private_key, password or certificate');
  if (form.host_key === undefined && form.known_hosts === undefined)
    throw new ConfigError(
      `the host would have to be trusted blindly: give host_key (ssh-keyscan -p ${port} ${host} | ssh-keygen -lf -) or known_hosts`,
    );
  if (form.private_key !== undefined) {
    const key = utils.parseKey(form.private_key, passphrase);
    if (key instanceof Error)
      throw new ConfigError(
        `private_key cannot be read: ${key.message}; it has to be a private key as ssh-keygen makes it`,
      );
  }
  return {
    host,
    port,
    user,
    ...(form.private_key !== undefined && { privateKey: form.private_key }),
    ...(passphrase !== undefined && { passphrase }),
    ...(password !== undefined && { password }),
    ...(authority !== undefined && { authority }),
    hostKey: anyHostKey([
      ...(form.host_key === undefined ? [] : [fingerprints([form.host_key].flat())]),
      ...(form.known_hosts === undefined ? [] : [knownHosts(form.known_hosts, host, port)]),
    ]),
  };
}

function readAuthority({
  user,
  certificate,
  passphrase,
  private_key: privateKey,
}: Form): UpstreamAuthority | undefined {
  if (certificate === undefined) return undefined;
  if (privateKey !== undefined)
    throw new ConfigError('private_key and certificate are two ways to log in: give one of them');
  const key = authorityKey(certificate.authority, passphrase);
  if (typeof key === 'string') throw new ConfigError(`certificate.authority ${key}`);
  const { principals = [user], lifetime_seconds: lifetime_s = lifetime_default_s } = certificate;
  return { key, principals, lifetime_s };
}

/** The schema of `upstream`, which also reads it: decoding gives an SshUpstream. */
export const SshUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readUpstream(form as Form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
