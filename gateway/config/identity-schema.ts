import Type from 'typebox';
import { principalKinds, signatureAlgorithms } from './config.js';
import { choice, closed, duration, text } from './schema-parts.js';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';

/** The part `identity` of sallyport.yaml: who is believed about who somebody is. */

const ClaimsSchema = Type.Object(
  {
    groups: Type.Optional(Type.String({ minLength: 1, default: 'groups' })),
    roles: Type.Optional(Type.String({ minLength: 1, default: 'roles' })),
    purpose: Type.Optional(Type.String({ minLength: 1, default: 'purpose' })),
    kind: Type.Optional(Type.String({ minLength: 1, default: 'kind' })),
    prompt: Type.Optional(Type.String({ minLength: 1, default: 'prompt' })),
    attributes: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        uniqueItems: true,
        description: 'Further claims that policy sees, under principal.attributes.',
      }),
    ),
  },
  {
    ...closed,
    description: 'Principal field: name of the claim. "a.b" is b inside a, unless a claim has that very name.',
  },
);

const DirectorySchema = Type.Object(
  {
    file: Type.Optional(Type.String({ minLength: 1, description: 'Relative to the configuration file.' })),
    url: Type.Optional(
      Type.String({
        pattern: '^https?://[^\\s]+$',
        description: 'Where all groups are answered at once, as SCIM has them.',
      }),
    ),
    token: Type.Optional(SecretSchema),
    refresh: Type.Optional(duration('How often the URL is asked.', '1m')),
  },
  { ...closed, description: 'Who is in which group, where tokens do not say: a file or a URL.' },
);

const ProviderSchema = Type.Object(
  {
    name: text('What messages and records call it.'),
    type: choice(['oidc'] as const, 'How tokens are verified.'),
    issuer: Type.String({
      pattern: '^https?://[^\\s]+$',
      description: 'Equal to the "iss" of its tokens. Its keys are discovered there, unless jwks is given.',
      'x-problem': 'must be the issuer\'s URL, as its tokens have it in "iss"',
    }),
    jwks: Type.Optional(FileReferenceSchema),
    audience: Type.Union([
      Type.String({ minLength: 1, title: 'a string' }),
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1, uniqueItems: true, title: 'a list of strings' }),
    ]),
    algorithms: Type.Optional(
      Type.Array(choice(signatureAlgorithms, 'A signature algorithm (RFC 7518, RFC 8037).'), {
        minItems: 1,
        uniqueItems: true,
        default: ['ES256', 'EdDSA', 'PS256', 'RS256'],
      }),
    ),
    claims: Type.Optional(ClaimsSchema),
    directory: Type.Optional(DirectorySchema),
    single_use: Type.Optional(
      Type.Boolean({ default: false, description: 'Each token signs in once, and needs a "jti" for that.' }),
    ),
    kind_default: Type.Optional(
      Type.Unsafe<(typeof principalKinds)[number]>({
        type: 'string',
        enum: [...principalKinds],
        default: 'service',
        description: 'What a principal is whose token does not say.',
      }),
    ),
  },
  closed,
);

const SamlSchema = Type.Object(
  {
    name: text('What messages and records call it.'),
    issuer: text("The provider's entity id."),
    certificates: FileReferenceSchema,
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        description: "The gateway's entity id there. Absent: the issuer of its own tokens.",
      }),
    ),
    claims: Type.Optional(ClaimsSchema),
    kind_default: Type.Optional(
      Type.Unsafe<(typeof principalKinds)[number]>({
        type: 'string',
        enum: [...principalKinds],
        default: 'human',
        description: 'What a principal is whose assertion does not say.',
      }),
    ),
    directory: Type.Optional(DirectorySchema),
    token_lifetime: Type.Optional(duration('How long what is given for an assertion lives.', '15m')),
  },
  { ...closed, description: 'A SAML 2.0 identity provider: its assertions are changed into tokens of the gateway.' },
);

const namesOf = (description: string) =>
  Type.Optional(Type.Array(Type.String({ minLength: 1 }), { uniqueItems: true, description }));

const MtlsSchema = Type.Object(
  {
    trust_domain: Type.String({
      pattern: '^[a-z0-9._-]{1,255}$',
      description: 'Of the SPIFFE IDs that certificates have: "example.org" for spiffe://example.org/….',
      'x-problem': 'is no trust domain: small letters, digits, ".", "-" and "_"',
    }),
    groups: namesOf('Of everybody with such a certificate.'),
    roles: namesOf('Of everybody with such a certificate.'),
    purpose: Type.Optional(Type.String({ minLength: 1, description: 'Of everybody with such a certificate.' })),
    kind_default: Type.Optional(
      Type.Unsafe<(typeof principalKinds)[number]>({
        type: 'string',
        enum: [...principalKinds],
        default: 'service',
        description: 'What a principal with such a certificate is.',
      }),
    ),
    directory: Type.Optional(DirectorySchema),
    certificate_lifetime_max: Type.Optional(
      duration('The longest life that a certificate may have been given.', '24h'),
    ),
  },
  { ...closed, description: 'Client certificates as names, at listeners with tls.client_authorities.' },
);

const OwnTokensSchema = Type.Object(
  {
    issuer: Type.Optional(
      Type.String({
        pattern: '^https://[^\\s?#]+$',
        description: 'Their "iss". Absent: console.url, else the address of listen.https.',
        'x-problem': 'must be an https:// URL',
      }),
    ),
    keys: Type.Optional(FileReferenceSchema),
  },
  {
    ...closed,
    description:
      'Tokens and tickets that the gateway issues itself. keys: a JWK Set with private keys, the same for all replicas; absent: one that the state directory keeps.',
  },
);

const LoginSchema = Type.Object(
  {
    provider: Type.Optional(
      Type.String({ minLength: 1, description: 'Which of the providers; absent: the only one.' }),
    ),
    client_id: text('As what `sallyport login` is registered there: a public client, without a secret.'),
    scopes: Type.Optional(
      Type.Array(Type.String({ pattern: '^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$' }), {
        uniqueItems: true,
        default: ['openid', 'offline_access'],
        description: 'What is asked for.',
      }),
    ),
    audience: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Sent as "audience" and "resource" (RFC 8707), where the provider wants it.',
      }),
    ),
    token: Type.Optional(
      choice(['access', 'id'] as const, 'Which of the tokens that it issues is for the gateway. Default: access.'),
    ),
  },
  { ...closed, description: 'How people get a token with `sallyport login`. Public: whoever asks is told.' },
);

export const IdentitySchema = Type.Object(
  {
    providers: Type.Array(ProviderSchema, { minItems: 1 }),
    token_lifetime_max: Type.Optional(duration('The longest life that a token may have been given.', '1h')),
    clock_skew: Type.Optional(
      duration("How far ahead an issuer's clock may be. Never lengthens a token's life.", '30s'),
    ),
    revocation: Type.Optional(
      choice(
        ['known', 'strict'] as const,
        'known: who signs in is checked against what this gateway knows to be revoked. strict: and refused while the state, through which others tell it, is out of reach.',
      ),
    ),
    own_tokens: Type.Optional(OwnTokensSchema),
    login: Type.Optional(LoginSchema),
    saml: Type.Optional(Type.Array(SamlSchema)),
    mtls: Type.Optional(MtlsSchema),
  },
  closed,
);

export type ProviderInput = Type.Static<typeof ProviderSchema>;

export interface IdentityInput {
  readonly providers: readonly ProviderInput[];
  readonly token_lifetime_max?: string;
  readonly clock_skew?: string;
  readonly revocation?: 'known' | 'strict';
  readonly own_tokens?: Type.Static<typeof OwnTokensSchema>;
  readonly login?: Type.Static<typeof LoginSchema>;
  readonly saml?: readonly Type.Static<typeof SamlSchema>[];
  readonly mtls?: Type.Static<typeof MtlsSchema>;
}
