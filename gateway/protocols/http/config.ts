import { X509Certificate } from 'node:crypto';
import Type from 'typebox';
import { SecretSchema } from '../../elsewhere.js';
import { ConfigError } from '../../errors.js';
import type { Provider } from './cloud/reading.js';
import { EgressSchema, readEgress, type Egress, type EgressForm } from './egress/config.js';
import { readApiDocument, type ApiDocument } from './openapi.js';
import type { NamedHost } from './egress/hosts.js';
import { isSigningForm, readSigning, signingSchemas, type Signing, type SigningForm } from './signing/forms.js';

/** A target's `upstream`: where the guarded API is, and with which credential the gateway asks there. */

/** A field that the gateway adds to each request, in place of whatever the client sent. */
export interface CredentialField {
  readonly name: string;
  readonly value: string;
}

/** What the file says, with secrets resolved and defaults filled in. */
export interface HttpUpstream {
  readonly protocol: 'http:' | 'https:';
  readonly host: string;
  readonly port: number;
  /** Before every path, without a slash at its end. */
  readonly base: string;
  readonly credential?: CredentialField;
  /** In its place: what each request is signed with, or a token that is fetched. */
  readonly signing?: Signing;
  readonly ca?: string;
  readonly serverName?: string;
  readonly openapi?: ApiDocument;
  readonly body_bytes_max: number;
  readonly timeout_ms: number;
  /** Names that may come more than once in a query or a form. */
  readonly repeated: ReadonlySet<string>;
  readonly encodedSlashes: boolean;
  /** Paths at which GraphQL is served, behind the URL, as their segments. */
  readonly graphql: readonly (readonly string[])[];
  /** Whose grammar its requests have. */
  readonly cloud?: Provider;
  /** What of it is reached through the egress proxy. */
  readonly egress?: Egress;
  /** Whether it is served below /http/TARGET: where it has a URL. Else host and port are those of the first that egress names. */
  readonly reverse: boolean;
}

const closed = { additionalProperties: false } as const;
const body_bytes_default = 4_194_304;
const timeout_seconds_default = 300;
const loopback = /^(127(\.[0-9]{1,3}){3}|\[::1\]|localhost)$/u;

const CredentialSchema = Type.Union(
  [
    Type.Object({ bearer: SecretSchema }, { ...closed, title: '{bearer: …}' }),
    Type.Object({ basic: SecretSchema }, { ...closed, title: '{basic: "USER:PASSWORD"}' }),
    Type.Object(
      { header: Type.Object({ name: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }), value: SecretSchema }, closed) },
      { ...closed, title: '{header: {name: …, value: …}}' },
    ),
    ...signingSchemas(SecretSchema),
  ],
  { description: "The gateway's own credential there; clients never learn it. Absent: the client's own goes on." },
);

const FormSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        pattern: '^(https://|http://(127\\.[0-9.]+|localhost|\\[::1\\])([:/]|$))[^\\s?#@]*$',
        description:
          'Where the API is, with what every path begins with. http:// on loopback only. Absent: egress.hosts says where.',
        'x-problem':
          'must be an https:// URL (http:// on loopback only), without user, query and fragment: credentials would travel in clear',
      }),
    ),
    egress: Type.Optional(EgressSchema),
    credential: Type.Optional(CredentialSchema),
    openapi: Type.Optional(
      Type.Union([...SecretSchema.anyOf], {
        description: 'The OpenAPI document (3.x) of the API, as YAML or JSON.',
      }),
    ),
    tls: Type.Optional(
      Type.Object(
        { ca: Type.Optional(SecretSchema), server_name: Type.Optional(Type.String({ minLength: 1 })) },
        { ...closed, title: '{ca: {file: …}, server_name: …}', description: 'Absent: what the system trusts.' },
      ),
    ),
    body_bytes_max: Type.Optional(
      Type.Integer({
        minimum: 1_024,
        maximum: 67_108_864,
        default: body_bytes_default,
        description: 'Of a request. It is held in memory while it is judged.',
      }),
    ),
    timeout_seconds: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 3_600,
        default: timeout_seconds_default,
        description: 'For an answer to begin.',
      }),
    ),
    repeated: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        uniqueItems: true,
        maxItems: 1_000,
        description: 'Names that may come more than once in a query or a form. Those that end in "[]" always may.',
      }),
    ),
    encoded_slashes: Type.Optional(
      Type.Boolean({ default: false, description: 'Whether "%2F" may stand in a path, as a part of a segment.' }),
    ),
    cloud: Type.Optional(
      Type.Unsafe<Provider>({
        type: 'string',
        enum: ['aws', 'google', 'azure'],
        description: "Names each request by the cloud's own grammar; what that does not name is opaque.",
      }),
    ),
    graphql: Type.Optional(
      Type.Array(Type.String({ pattern: '^/[A-Za-z0-9._~/-]*$' }), {
        uniqueItems: true,
        maxItems: 20,
        description:
          'Paths at which GraphQL is served, behind the URL: what is asked there has to be GraphQL, and says by its document what it does.',
      }),
    ),
  },
  {
    ...closed,
    anyOf: [
      { required: ['url'], title: 'one with a url' },
      { required: ['egress'], title: 'one with egress.hosts' },
    ],
  },
);

interface HttpUpstreamForm {
  readonly url?: string;
  readonly egress?: EgressForm;
  readonly credential?:
    | { readonly bearer: string }
    | { readonly basic: string }
    | { readonly header: { readonly name: string; readonly value: string } }
    | SigningForm;
  readonly openapi?: string;
  readonly tls?: { readonly ca?: string; readonly server_name?: string };
  readonly body_bytes_max?: number;
  readonly timeout_seconds?: number;
  readonly repeated?: readonly string[];
  readonly encoded_slashes?: boolean;
  readonly graphql?: readonly string[];
  readonly cloud?: Provider;
}

/** Fills in the defaults; throws ConfigError for what can never be asked. */
export function readHttpUpstream(form: unknown): HttpUpstream {
  const { url, egress, credential, openapi, tls, ...rest } = form as HttpUpstreamForm;
  const served = url === undefined ? undefined : placeOf(url);
  const outward = egress === undefined ? undefined : readEgress(egress, served && onlyHost(served));
  const place = served ?? { protocol: 'https:' as const, base: '', ...outward?.hosts[0] };
  if (served === undefined) refuseIdle(form as HttpUpstreamForm);
  if (tls?.ca !== undefined) checkAuthority(tls.ca);
  return {
    ...{ protocol: place.protocol, host: place.host ?? '', port: place.port ?? 0, base: place.base },
    reverse: served !== undefined,
    ...(outward === undefined ? {} : { egress: outward }),
    ...(credential === undefined
      ? {}
      : isSigningForm(credential)
        ? { signing: readSigning(credential) }
        : { credential: credentialOf(credential) }),
    ...(openapi === undefined ? {} : { openapi: readApiDocument(openapi) }),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.server_name === undefined ? {} : { serverName: tls.server_name }),
    body_bytes_max: rest.body_bytes_max ?? body_bytes_default,
    timeout_ms: (rest.timeout_seconds ?? timeout_seconds_default) * 1_000,
    repeated: new Set(rest.repeated),
    encodedSlashes: rest.encoded_slashes ?? false,
    ...(rest.cloud === undefined ? {} : { cloud: rest.cloud }),
    graphql: (rest.graphql ?? []).map((path) => path.split('/').filter((segment) => segment !== '')),
  };
}

/** The one host of a target that has a URL, as the egress proxy knows it. Throws ConfigError. */
function onlyHost({ protocol, host, port }: ReturnType<typeof placeOf>): NamedHost {
  if (protocol !== 'https:') throw new ConfigError('egress: url has to be https://, as what goes through the proxy is');
  return { host, port, below: false };
}

/** Keys of what is done with requests. */
const looking = ['credential', 'openapi', 'tls', 'cloud', 'graphql', 'repeated'] as const;

/** What would not be done: nobody looks into a tunnel. Throws ConfigError. */
function refuseIdle(form: HttpUpstreamForm): void {
  const idle = looking.find((key) => form[key] !== undefined);
  if (idle === undefined) return;
  throw new ConfigError(
    `upstream.${idle} has no use here: what goes through a tunnel to egress.hosts is not looked at`,
  );
}

function placeOf(url: string): Pick<HttpUpstream, 'protocol' | 'host' | 'port' | 'base'> {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (error) {
    throw new ConfigError('upstream.url is no URL', { cause: error });
  }
  const { protocol, hostname, port, pathname, username, search, hash } = parsed;
  if (username !== '' || search !== '' || hash !== '')
    throw new ConfigError('upstream.url may have no user, query or fragment');
  if (protocol !== 'https:' && !(protocol === 'http:' && loopback.test(hostname))) {
    throw new ConfigError(
      'upstream.url must be https://, or http:// on loopback: the credential would travel in clear',
    );
  }
  return {
    protocol,
    host: hostname.replace(/^\[|\]$/gu, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    base: pathname.replace(/\/+$/u, ''),
  };
}

function credentialOf(credential: Exclude<NonNullable<HttpUpstreamForm['credential']>, SigningForm>): CredentialField {
  const field =
    'bearer' in credential
      ? { name: 'authorization', value: `Bearer ${credential.bearer}` }
      : 'basic' in credential
        ? { name: 'authorization', value: `Basic ${Buffer.from(credential.basic).toString('base64')}` }
        : { name: credential.header.name.toLowerCase(), value: credential.header.value };
  if (!/^[\t\x20-\x7e]+$/u.test(field.value)) {
    throw new ConfigError(
      'the credential has a line end or a character beyond ASCII: it fits into no field of a request',
    );
  }
  if ('basic' in credential && !credential.basic.includes(':')) {
    throw new ConfigError('credential.basic has to be USER:PASSWORD');
  }
  return field;
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

/** The schema of `upstream`, which also reads it: decoding gives an HttpUpstream. */
export const HttpUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readHttpUpstream(form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
