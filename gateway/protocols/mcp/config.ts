import { X509Certificate } from 'node:crypto';
import Type from 'typebox';
import { SecretSchema } from '../../elsewhere.js';
import { ConfigError } from '../../errors.js';

/** A target's `upstream`: an MCP server at a URL, or a program that the gateway starts and speaks to over its standard input. */

interface Common {
  readonly timeout_ms: number;
  /** How long a call waits for people before it is answered with how to come back. */
  readonly hold_ms: number;
  readonly session_idle_ms: number;
  readonly answer_bytes_max: number;
  /** Tool: the digest of its definition. */
  readonly pinned: ReadonlyMap<string, string>;
  /** Whether a tool that is not pinned is trusted as it is first seen. */
  readonly trust_first: boolean;
  /** Origins of web pages that may ask; clients that are no browsers send none. */
  readonly origins: ReadonlySet<string>;
}

export interface HttpServer extends Common {
  readonly kind: 'http';
  readonly protocol: 'http:' | 'https:';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly credential?: { readonly name: string; readonly value: string };
  readonly ca?: string;
  readonly serverName?: string;
}

export interface StdioServer extends Common {
  readonly kind: 'stdio';
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly directory?: string;
}

export type McpUpstream = HttpServer | StdioServer;

const closed = { additionalProperties: false } as const;
const loopback = /^(127(\.[0-9]{1,3}){3}|\[::1\]|localhost)$/u;

const CredentialSchema = Type.Union(
  [
    Type.Object({ bearer: SecretSchema }, { ...closed, title: '{bearer: …}' }),
    Type.Object({ basic: SecretSchema }, { ...closed, title: '{basic: "USER:PASSWORD"}' }),
    Type.Object(
      { header: Type.Object({ name: Type.String({ pattern: '^[A-Za-z0-9-]{1,64}$' }), value: SecretSchema }, closed) },
      { ...closed, title: '{header: {name: …, value: …}}' },
    ),
  ],
  { description: "The gateway's own credential there; clients never learn it." },
);

const seconds = (fallback: number, maximum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, default: fallback, description }));
const defaults = { timeout: 300, hold: 45, idle: 1_800, answer_bytes: 16_777_216 } as const;

const FormSchema = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        pattern: '^(https://|http://(127\\.[0-9.]+|localhost|\\[::1\\])([:/]|$))[^\\s?#@]*$',
        description: 'The endpoint of a server that speaks Streamable HTTP. http:// on loopback only.',
        'x-problem':
          'must be an https:// URL (http:// on loopback only), without user, query and fragment: credentials would travel in clear',
      }),
    ),
    credential: Type.Optional(CredentialSchema),
    tls: Type.Optional(
      Type.Object(
        { ca: Type.Optional(SecretSchema), server_name: Type.Optional(Type.String({ minLength: 1 })) },
        { ...closed, title: '{ca: {file: …}, server_name: …}', description: 'Absent: what the system trusts.' },
      ),
    ),
    command: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        minItems: 1,
        maxItems: 256,
        description: 'In place of url: a program and its arguments, started once for each session.',
      }),
    ),
    environment: Type.Optional(
      Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), SecretSchema, {
        description: 'All that the program finds in its environment: it inherits nothing.',
      }),
    ),
    directory: Type.Optional(Type.String({ minLength: 1, description: 'Where the program starts; /.' })),
    timeout_seconds: seconds(defaults.timeout, 3_600, 'For an answer to come; progress that is told starts it again.'),
    hold_seconds: seconds(
      defaults.hold,
      3_600,
      'How long a call waits for people before it is answered with how to come back. A client that asked for progress waits until people answer.',
    ),
    session_idle_seconds: seconds(defaults.idle, 86_400, 'After which a session that nothing uses ends.'),
    answer_bytes_max: Type.Optional(
      Type.Integer({
        minimum: 1_024,
        maximum: 67_108_864,
        default: defaults.answer_bytes,
        description: 'Of one message of the server.',
      }),
    ),
    pinned: Type.Optional(
      Type.Record(Type.String({ minLength: 1 }), Type.String({ pattern: '^[0-9a-f]{64}$' }), {
        description: 'Tool: the SHA-256 of its definition. A tool that has another one is refused.',
      }),
    ),
    unpinned: Type.Optional(
      Type.Unsafe<'first_seen' | 'refuse'>({
        type: 'string',
        enum: ['first_seen', 'refuse'],
        default: 'first_seen',
        description: 'Of tools that are not pinned: whether they are trusted as they are first seen.',
      }),
    ),
    origins: Type.Optional(
      Type.Array(Type.String({ pattern: '^https?://[^/\\s]+$' }), {
        maxItems: 100,
        description: 'Origins of web pages whose scripts may ask. Absent: none may.',
      }),
    ),
  },
  closed,
);

interface Form {
  readonly url?: string;
  readonly credential?:
    | { readonly bearer: string }
    | { readonly basic: string }
    | { readonly header: { readonly name: string; readonly value: string } };
  readonly tls?: { readonly ca?: string; readonly server_name?: string };
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly directory?: string;
  readonly timeout_seconds?: number;
  readonly hold_seconds?: number;
  readonly session_idle_seconds?: number;
  readonly answer_bytes_max?: number;
  readonly pinned?: Readonly<Record<string, string>>;
  readonly unpinned?: 'first_seen' | 'refuse';
  readonly origins?: readonly string[];
}

/** Fills in the defaults; throws ConfigError for what can never be asked. */
export function readMcpUpstream(form: Form): McpUpstream {
  const common: Common = {
    timeout_ms: (form.timeout_seconds ?? defaults.timeout) * 1_000,
    hold_ms: (form.hold_seconds ?? defaults.hold) * 1_000,
    session_idle_ms: (form.session_idle_seconds ?? defaults.idle) * 1_000,
    answer_bytes_max: form.answer_bytes_max ?? defaults.answer_bytes,
    pinned: new Map(Object.entries(form.pinned ?? {})),
    trust_first: form.unpinned !== 'refuse',
    origins: new Set(form.origins),
  };
  const { url, command } = form;
  if ((url === undefined) === (command === undefined)) {
    throw new ConfigError('upstream needs either url (Streamable HTTP) or command (a program), and not both');
  }
  if (url !== undefined) {
    if (form.environment !== undefined || form.directory !== undefined) {
      throw new ConfigError('upstream.environment and upstream.directory are of a program (upstream.command)');
    }
    return { kind: 'http', ...common, ...httpOf(url, form) };
  }
  if (form.credential !== undefined || form.tls !== undefined) {
    throw new ConfigError(
      'upstream.credential and upstream.tls are of a URL: give a program what it needs in upstream.environment',
    );
  }
  const [program = '', ...rest] = command ?? [];
  return {
    kind: 'stdio',
    ...common,
    command: [program, ...rest],
    environment: form.environment ?? {},
    ...(form.directory === undefined ? {} : { directory: form.directory }),
  };
}

function httpOf(url: string, { credential, tls }: Form) {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch (error) {
    throw new ConfigError('upstream.url is no URL', { cause: error });
  }
  const { protocol, hostname, port, pathname } = parsed;
  if (protocol !== 'https:' && !(protocol === 'http:' && loopback.test(hostname))) {
    throw new ConfigError(
      'upstream.url must be https://, or http:// on loopback: the credential would travel in clear',
    );
  }
  if (tls?.ca !== undefined) checkAuthority(tls.ca);
  return {
    protocol,
    host: hostname.replace(/^\[|\]$/gu, ''),
    port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
    path: pathname,
    ...(credential === undefined ? {} : { credential: credentialOf(credential) }),
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.server_name === undefined ? {} : { serverName: tls.server_name }),
  } as const;
}

function credentialOf(credential: NonNullable<Form['credential']>): { readonly name: string; readonly value: string } {
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

/** The schema of `upstream`, which also reads it: decoding gives an McpUpstream. */
export const McpUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readMcpUpstream(form as Form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
