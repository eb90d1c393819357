import Type from 'typebox';
import { ConfigError } from '../../errors.js';
import { anyHostKey, knownHosts, fingerprints, type HostKeyCheck } from './hostkeys.js';
import { utils } from './library.js';

/** A target's `upstream`: the host, and as whom the gateway logs in there. */
export interface SshUpstream {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly privateKey?: string;
  readonly passphrase?: string;
  readonly password?: string;
  /** Whether this is the host's key; it is never taken on trust. */
  readonly hostKey: HostKeyCheck;
}

const closed = { additionalProperties: false } as const;
const port_default = 22;

const FileSchema = Type.Object({ file: Type.String({ minLength: 1 }) }, { ...closed, title: '{file: PATH}' });
const SecretSchema = Type.Union([Type.String({ minLength: 1, title: 'a string' }), FileSchema]);
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
    host_key: Type.Optional(
      Type.Union([FingerprintSchema, Type.Array(FingerprintSchema, { minItems: 1, title: 'a list of them' })], {
        description: "The fingerprints of the host's keys, any of which it may show.",
      }),
    ),
    known_hosts: Type.Optional(
      Type.Union([Type.String({ minLength: 1, title: 'a string' }), FileSchema], {
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
  readonly host_key?: string | readonly string[];
  readonly known_hosts?: string;
}

function readUpstream(form: Form): SshUpstream {
  const { host, port = port_default, user, password, passphrase } = form;
  if (form.private_key === undefined && password === undefined)
    throw new ConfigError('the gateway cannot log in: give private_key or password');
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
    hostKey: anyHostKey([
      ...(form.host_key === undefined ? [] : [fingerprints([form.host_key].flat())]),
      ...(form.known_hosts === undefined ? [] : [knownHosts(form.known_hosts, host, port)]),
    ]),
  };
}

/** The schema of `upstream`, which also reads it: decoding gives an SshUpstream. */
export const SshUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readUpstream(form as Form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
