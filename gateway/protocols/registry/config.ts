import { X509Certificate } from 'node:crypto';
import Type from 'typebox';
import { SecretSchema } from '../../elsewhere.js';
import { ConfigError } from '../../errors.js';
import type { Origin } from '../../web/index.js';
import { readKeys, type SignatureKey } from './keys.js';
import { loopback } from './names.js';

/** A target's `upstream`: where the registry is, and as whom the gateway asks there. */
export interface RegistryUpstream extends Origin {
  /** HOST:PORT */
  readonly name: string;
  readonly credential?: Credential;
  /** Hosts to which the registry may send for blobs: "cdn.example", or "*.cdn.example" for all below. */
  readonly storage: readonly string[];
  /** HOST:PORT, beside the registry itself, to which it may send for a token: the credential goes there. */
  readonly tokenHosts: readonly string[];
  /** Whose signatures of images count; empty: none is looked at. */
  readonly signatureKeys: readonly SignatureKey[];
  readonly timeout_ms: number;
}

/** USER:PASSWORD, or a token that goes along with each request. */
export type Credential = { readonly basic: string } | { readonly bearer: string };

const closed = { additionalProperties: false } as const;
const timeout_seconds_default = 60;

const FormSchema = Type.Object(
  {
    url: Type.String({
      pattern: '^(https://|http://(127\\.[0-9.]+|localhost|\\[::1\\])([:/]|$))[^\\s/?#@]*/?$',
      description: 'https://HOST[:PORT]; http:// on loopback only.',
      'x-problem':
        'must be https://HOST[:PORT] (http:// on loopback only), without a path: repositories stand below /v2/ there',
    }),
    credential: Type.Optional(
      Type.Union(
        [
          Type.Object({ bearer: SecretSchema }, { ...closed, title: '{bearer: …}' }),
          Type.Object({ basic: SecretSchema }, { ...closed, title: '{basic: "USER:PASSWORD"}' }),
        ],
        { description: "The gateway's own credential there; clients never learn it. Absent: it asks as nobody." },
      ),
    ),
    tls: Type.Optional(
      Type.Object(
        { ca: Type.Optional(SecretSchema), server_name: Type.Optional(Type.String({ minLength: 1 })) },
        { ...closed, title: '{ca: {file: …}, server_name: …}', description: 'Absent: what the system trusts.' },
      ),
    ),
    storage: Type.Optional(
      Type.Array(Type.String({ pattern: '^(\\*\\.)?[a-z0-9.-]+(:[0-9]{1,5})?$' }), {
        uniqueItems: true,
        maxItems: 100,
        description:
          'Hosts to which the registry may send for blobs: the gateway fetches them there, without its credential. "*.example" for all below.',
      }),
    ),
    token_hosts: Type.Optional(
      Type.Array(Type.String({ pattern: '^[a-z0-9.-]+(:[0-9]{1,5})?$' }), {
        uniqueItems: true,
        maxItems: 10,
        description:
          'Hosts to which the registry may send for a token, beside itself: the gateway takes its credential there.',
      }),
    ),
    signatures: Type.Optional(
      Type.Object(
        {
          keys: Type.Array(
            Type.Object(
              {
                name: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$', description: 'As rules know it.' }),
                key: SecretSchema,
              },
              { ...closed, title: '{name: …, key: {file: …}}' },
            ),
            {
              minItems: 1,
              maxItems: 16,
              description: 'Public keys as PEM: ECDSA, Ed25519 or RSA, as cosign has them.',
            },
          ),
        },
        {
          ...closed,
          title: '{keys: […]}',
          description:
            'Whose signatures of images count. Where policy asks, they are looked for, and checked by these keys.',
        },
      ),
    ),
    timeout_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 3_600,
        default: timeout_seconds_default,
        description: 'For an answer to begin.',
      }),
    ),
  },
  closed,
);

interface Form {
  readonly url: string;
  readonly credential?: Credential;
  readonly tls?: { readonly ca?: string; readonly server_name?: string };
  readonly storage?: readonly string[];
  readonly token_hosts?: readonly string[];
  readonly signatures?: { readonly keys: readonly { readonly name: string; readonly key: string }[] };
  readonly timeout_seconds?: number;
}

/** Fills in the defaults; throws ConfigError for what can never be asked. */
export function readRegistryUpstream(form: Form): RegistryUpstream {
  const { url, credential, tls, storage = [], token_hosts: hosts = [], signatures, timeout_seconds } = form;
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (error) {
    throw new ConfigError('upstream.url is no URL', { cause: error });
  }
  const { protocol, hostname, port } = parsed;
  if (protocol !== 'https:' && !(protocol === 'http:' && loopback.test(hostname))) {
    throw new ConfigError(
      'upstream.url must be https://, or http:// on loopback: the credential would travel in clear',
    );
  }
  if (credential !== undefined) checkCredential(credential);
  const tokenHosts = hosts.map((host) => (host.includes(':') ? host : `${host}:443`));
  if (!loopback.test(hostname) && tokenHosts.some((host) => loopback.test(host.split(':')[0] ?? ''))) {
    throw new ConfigError(
      'upstream.token_hosts names this machine, and the registry is on another: it could send there',
    );
  }
  if (tls?.ca !== undefined) checkAuthority(tls.ca);
  const number = port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port);
  return {
    protocol,
    host: hostname.replace(/^\[|\]$/gu, ''),
    port: number,
    name: `${hostname}:${number}`,
    ...(credential === undefined ? {} : { credential }),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.server_name === undefined ? {} : { serverName: tls.server_name }),
    storage,
    tokenHosts,
    signatureKeys: readKeys(signatures?.keys ?? []),
    timeout_ms: (timeout_seconds ?? timeout_seconds_default) * 1_000,
  };
}

function checkCredential(credential: Credential): void {
  const value = 'basic' in credential ? credential.basic : credential.bearer;
  if (!/^[\x20-\x7e]+$/u.test(value)) {
    throw new ConfigError('the credential has a line end or a character beyond ASCII: it fits into no field');
  }
  if ('basic' in credential && !value.includes(':')) throw new ConfigError('credential.basic has to be USER:PASSWORD');
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

/** The schema of `upstream`, which also reads it: decoding gives a RegistryUpstream. */
export const RegistryUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readRegistryUpstream(form as Form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
