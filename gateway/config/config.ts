import type { bundleAlgorithms } from '../../bundles/index.js';
import type { CommandReference, VaultReference } from '../elsewhere.js';
import type { ListenAddress, Target } from '../protocol.js';
import type { Webhook } from './webhooks.js';

/** The whole configuration: validated, with paths absolute, secrets resolved and defaults filled in. */
export interface Config {
  /** The file that was read; absolute. */
  readonly file: string;
  /** The folder it stands in: what relative paths in it are relative to. */
  readonly directory: string;
  /** By protocol, for the protocols that are built. A protocol that is not here is not listened for. */
  readonly listen: ReadonlyMap<string, ListenAddress>;
  readonly identity: IdentityConfig;
  readonly policy: PolicyConfig;
  /** The targets of the protocols that are built, in the order of the file. */
  readonly targets: readonly ConfiguredTarget[];
  /** Where `{vault: …}` leads; absent: nowhere, and no target has one. */
  readonly vault?: VaultConfig;
  readonly state: {
    readonly directory: string;
    /** A database that is given; absent: one that the gateway starts for itself, in the directory. */
    readonly postgres?: StatePostgres;
  };
  readonly approvals: ApprovalsConfig;
  readonly audit: AuditConfig;
  readonly console: ConsoleConfig;
  /** Absent: no screen is recorded. */
  readonly recordings?: RecordingsConfig;
  /** The secret behind keyed masks; absent: one that the state directory keeps. */
  readonly masks: { readonly key?: string };
  /** Where secrets of the file come from, by their place in it: "targets[0].upstream.password". */
  readonly secrets: ReadonlyMap<string, string>;
  /** What is odd but no reason not to start: one line each, safe to log. */
  readonly warnings: readonly string[];
}

/**
 * A target as the file has it. `upstream` is what it came to when the file was read; it is undefined where a part of it comes
 * from what only a running gateway asks.
 */
export interface ConfiguredTarget extends Target {
  /** What of it may change while the gateway runs; absent: nothing. */
  readonly form?: UpstreamForm;
}

export interface UpstreamForm {
  readonly references: readonly UpstreamReference[];
  /** Throws GatewayError for what the protocol cannot use. @param values by `key` of the references */
  read(values: ReadonlyMap<string, string>): unknown;
}

/** A value of an upstream that stands elsewhere. */
export interface UpstreamReference {
  readonly key: string;
  readonly path: readonly (string | number)[];
  /** "FILE:LINE:COLUMN: targets[0].upstream.password" */
  readonly where: string;
  /** With absolute paths. */
  readonly to:
    | { readonly kind: 'file'; readonly file: string }
    | ({ readonly kind: 'vault' } & VaultReference)
    | ({ readonly kind: 'command'; readonly directory: string } & CommandReference);
}

export interface VaultConfig {
  /** Without a "/" at its end. */
  readonly address: string;
  readonly namespace?: string;
  /** PEM. */
  readonly ca?: string;
  readonly serverName?: string;
  readonly auth:
    | { readonly method: 'token'; readonly token: VaultText }
    /** JWT and Kubernetes: the same request, at another mount. */
    | { readonly method: 'jwt'; readonly mount: string; readonly role: string; readonly jwt: VaultText }
    | { readonly method: 'approle'; readonly mount: string; readonly roleId: VaultText; readonly secretId?: VaultText };
}

/** A secret, or the file that it is read from each time that it is needed. */
export type VaultText = string | { readonly file: string };

export interface StatePostgres {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** Absent: in clear. */
  readonly ssl?: { readonly rejectUnauthorized: boolean; readonly ca?: string | undefined };
}

export interface ApprovalsConfig {
  /** Requests that may wait at once, on all replicas together. */
  readonly waiting_max: number;
  /** Of them, those of one principal. */
  readonly per_principal_max: number;
  /** How long the session that waited has to use what it was given. */
  readonly receipt_ms: number;
  /** How long what runs to be looked at may keep its locks. */
  readonly preview_ms: number;
  readonly webhooks: readonly Webhook[];
  /** How long a request is kept once it is over. */
  readonly retention_ms: number;
}

export interface IdentityConfig {
  readonly providers: readonly Provider[];
  /** The longest "exp" minus "iat" that a token may have. */
  readonly tokenLifetimeMax_ms: number;
  /** How far a token's "nbf" and "iat" may lie in the future. Never lengthens a token's life. */
  readonly clockSkew_ms: number;
  /** Whether sign-ins are refused while it cannot be known what was revoked on other gateways. */
  readonly revocationStrict: boolean;
  readonly ownTokens: OwnTokensConfig;
  readonly saml: readonly SamlProvider[];
  /** Absent: client certificates are good for tokens that are bound to them alone. */
  readonly mtls?: MtlsConfig;
  /** Absent: whoever signs in with `sallyport login` has to say where. */
  readonly login?: LoginConfig;
}

/** How `sallyport login` gets a token; told to whoever asks. */
export interface LoginConfig {
  readonly issuer: string;
  /** Of a public client. */
  readonly client_id: string;
  readonly scopes: readonly string[];
  /** Sent along where the provider has to be told whom the token is for. */
  readonly audience?: string;
  readonly token: 'access' | 'id';
}

/** Tokens that the gateway issues itself. */
export interface OwnTokensConfig {
  /** Their "iss": where the gateway is called from outside. */
  readonly issuer: string;
  /** A JWK Set with private keys; absent: one that the state directory keeps. */
  readonly keys?: { readonly file: string };
}

/** Signature algorithms that a provider may be allowed: asymmetric ones only, so that no verifier's key can sign. */
export const signatureAlgorithms = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'PS256',
  'PS384',
  'PS512',
  'RS256',
  'RS384',
  'RS512',
] as const;
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

export const principalKinds = ['agent', 'human', 'service'] as const;
export type PrincipalKind = (typeof principalKinds)[number];

/** One issuer of tokens. */
export interface Provider {
  readonly name: string;
  /** Equal to the "iss" of its tokens, byte for byte. */
  readonly issuer: string;
  /** A file with its public keys; absent: discovered at the issuer. */
  readonly jwks?: { readonly file: string };
  /** A token must be for one of these. */
  readonly audience: readonly string[];
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly claims: Claims;
  /** What a principal is whose token does not say. */
  readonly kindDefault: PrincipalKind;
  /** Who is in which group, beside what tokens say. */
  readonly directory?: DirectoryConfig;
  /** Each of its tokens signs in once, wherever it is brought. */
  readonly singleUse?: boolean;
}

export type DirectoryConfig =
  { readonly file: string } | { readonly url: string; readonly token?: string; readonly refresh_ms: number };

/** Client certificates as names: those of one SPIFFE trust domain. */
export interface MtlsConfig {
  /** "example.org" */
  readonly trustDomain: string;
  /** What whoever has one is in and may be, beside the directory. */
  readonly groups: readonly string[];
  readonly roles: readonly string[];
  readonly purpose?: string;
  readonly kindDefault: PrincipalKind;
  readonly directory?: DirectoryConfig;
  /** The longest life that one may have been given. */
  readonly certificateLifetimeMax_ms: number;
}

/** One issuer of SAML 2.0 assertions. */
export interface SamlProvider {
  readonly name: string;
  /** Its entity id, equal to the "Issuer" of its assertions. */
  readonly issuer: string;
  /** PEM, one or several. */
  readonly certificates: { readonly file: string };
  /** An assertion has to be for this. */
  readonly audience: string;
  /** Attributes in the place of claims, by their names as they are. */
  readonly claims: Claims;
  readonly kindDefault: PrincipalKind;
  readonly tokenLifetime_ms: number;
  /** Who is in which group, beside what assertions say. */
  readonly directory?: DirectoryConfig;
}

/** Principal field: name of the claim that it comes from. "a.b" is the claim of that name, else b inside a. */
export interface Claims {
  readonly groups: string;
  readonly roles: string;
  readonly purpose: string;
  readonly kind: string;
  readonly prompt: string;
  /** Claims that policy sees under `principal.attributes`, by their own names. */
  readonly attributes: readonly string[];
}

/** Where policy comes from. */
export type PolicySource =
  | { readonly directory: string }
  | { readonly bundle: BundleConfig }
  | { readonly oci: OciConfig }
  | {
      readonly git: {
        /** A URL as git takes it, or an absolute path. */
        readonly url: string;
        readonly branch: string;
        /** Where policy stands inside the repository; "." is its root. */
        readonly path: string;
        readonly token?: string;
        /** Files. */
        readonly ssh_key?: string;
        readonly known_hosts?: string;
        readonly ca?: string;
        readonly poll_ms?: number;
        /** Who has the secret may have the repository asked at once. */
        readonly webhook?: { readonly secret: string };
      };
      readonly signing?: { readonly keys: readonly string[] };
    };

/** A server of OPA bundles. */
export interface BundleConfig {
  readonly url: string;
  readonly token?: string;
  /** PEM. */
  readonly ca?: string;
  readonly poll_ms?: number;
  readonly long_poll_ms?: number;
  /** Absent: a bundle needs no signature. */
  readonly signing?: {
    readonly keys: readonly {
      readonly id?: string;
      readonly algorithm: (typeof bundleAlgorithms)[number];
      /** The public key. */
      readonly pem: string;
    }[];
    readonly scope?: string;
  };
}

/** An artifact in a registry of images. */
export interface OciConfig extends Omit<BundleConfig, 'long_poll_ms'> {
  readonly user?: string;
  readonly password?: string;
}

export type PolicyConfig = PolicySource & {
  /** The organisation's: it always applies, and what the source beside it brings may only tighten it. */
  readonly base?: PolicySource;
  /** What is judged beside the revision in force. */
  readonly shadow?: PolicySource & { readonly canary?: CanaryConfig };
  /** Who is told how the policy stands. */
  readonly status?: StatusConfig;
  /** Absent: what is in force is enforced however long its source says nothing. */
  readonly age_ms_max?: number;
};

/** A service that takes status as OPA sends it. */
export interface StatusConfig {
  /** Of the service: "/status" comes behind it. */
  readonly url: string;
  /** Comes behind that. */
  readonly partition?: string;
  /** Sent as bearer. */
  readonly token?: string;
  /** PEM. */
  readonly ca?: string;
  readonly gzip: boolean;
  readonly interval_ms: number;
  /** Beside "id" and "version". */
  readonly labels: Readonly<Record<string, string>>;
}

/** For whom what is tried is enforced: whoever fits all that is given; at least one thing is. */
export interface CanaryConfig {
  readonly principals?: readonly string[];
  readonly targets?: readonly string[];
  /** 0 to 100. */
  readonly percent?: number;
}

/**
 * disk: every record is on disk before what it records goes on. memory: none has to be. by_action: those of operations
 * that do more than read.
 */
export type Durability = 'disk' | 'memory' | 'by_action';

export interface AuditConfig {
  readonly durability: Durability;
  /** Files; at least one. */
  readonly sinks: readonly { readonly file: string }[];
  /** What follows the files. */
  readonly remote: readonly RemoteSink[];
  readonly rotation: { readonly bytes_max: number; readonly age_ms_max?: number | undefined };
  /** Absent: nothing is removed. */
  readonly retention_ms?: number | undefined;
  /** PKCS #8 as PEM; absent: one that the state directory keeps. */
  readonly signing_key?: string;
}

/** Where screens are kept, and how much of them. */
export interface RecordingsConfig {
  /** Absolute. */
  readonly folder: string;
  /** Absent: nothing is removed. */
  readonly retention_ms?: number;
  /** Of one. */
  readonly bytes_max: number;
  readonly total_bytes_max: number;
  /** Of all of one principal. */
  readonly principal_bytes_max: number;
  /** Of input that is not echoed, in one. */
  readonly input_bytes_max: number;
  readonly fail: 'closed' | 'open';
}

/** A sink that is no file. */
export type RemoteSink = {
  readonly name: string;
  readonly fail: 'closed' | 'open';
  /** So far it may be behind the files. */
  readonly records_max: number;
  readonly bytes_max: number;
} & (
  | { readonly type: 'http' | 'otlp'; readonly receiver: SinkReceiver }
  | { readonly type: 'postgres'; readonly database: 'state' | StatePostgres }
);

export interface SinkReceiver {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM. */
  readonly ca?: string;
  readonly timeout_ms: number;
}

/** Who may do what through the API, and what the gateway is called from outside. */
export interface ConsoleConfig {
  /** Groups that may see everything, end sessions and take back grants. */
  readonly administrators: readonly string[];
  /** Groups that may see everything. */
  readonly auditors: readonly string[];
  readonly publishers: readonly string[];
  /** Where people reach it, without a "/" at its end. */
  readonly url?: string;
  /** Where a rule's line can be read: a URL with {commit}, {file} and {line}. */
  readonly policy_link?: string;
  /** Absent: no console is served. */
  readonly sign_in?: SignInConfig;
}

/** The console as a client of one of the identity providers (OpenID Connect Core 1.0, authorization code flow). */
export interface SignInConfig {
  readonly provider: Provider;
  readonly client_id: string;
  /** Absent: a public client; PKCE protects the code either way. */
  readonly client_secret?: string;
  /** "openid" is always among them. */
  readonly scopes: readonly string[];
}
