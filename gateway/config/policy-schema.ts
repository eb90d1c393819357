import Type from 'typebox';
import { durationPattern } from './duration.js';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';
import { bundleAlgorithms, ociUrlPattern } from '../../bundles/index.js';
import { choice, closed, duration, text } from './schema-parts.js';

/** The part `policy` of sallyport.yaml: where policy comes from, and what is tried beside it. */

const GitSchema = Type.Object(
  {
    url: Type.String({
      minLength: 1,
      pattern: '^[^-\\s][^\\s]*$',
      description: 'A path (relative to the configuration file) or a URL that git understands.',
      'x-problem': 'is no repository; write a path or a URL, without spaces and not starting with "-"',
    }),
    branch: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_][A-Za-z0-9._/-]*$',
        default: 'main',
        'x-problem': 'is no branch name',
      }),
    ),
    path: Type.Optional(
      Type.String({
        minLength: 1,
        pattern: '^(?!/)(?!-)(?!(?:.*/)?\\.\\.(?:/|$)).+$',
        default: '.',
        description: 'Where policy stands inside the repository.',
        'x-problem': 'must be a path inside the repository, without ".."',
      }),
    ),
    token: Type.Optional({ ...SecretSchema, description: 'Of a repository over HTTPS: sent as the password.' }),
    ssh_key: Type.Optional({ ...FileReferenceSchema, description: 'Of one over SSH: the private key.' }),
    known_hosts: Type.Optional({ ...FileReferenceSchema, description: "The host's keys, as ssh-keyscan writes them." }),
    ca: Type.Optional({ ...FileReferenceSchema, description: "Authorities in place of the system's, as PEM." }),
    poll: Type.Optional(duration('How often a repository elsewhere is asked.', '30s')),
    webhook: Type.Optional(
      Type.Object(
        { secret: { ...SecretSchema, description: 'At least 16 characters; the forge has it too.' } },
        { ...closed, description: 'POST /v1/policy-hook has the repository asked at once: GitHub, Gitea, GitLab.' },
      ),
    ),
  },
  closed,
);

const SigningSchema = Type.Object(
  {
    keys: Type.Array(
      Type.String({
        pattern:
          '^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa|sk-ssh-ed25519@openssh\\.com|sk-ecdsa-sha2-nistp256@openssh\\.com) [A-Za-z0-9+/]+={0,2}( .*)?$',
        'x-problem': 'is no public key; write the line of a .pub file, as in ssh-ed25519 AAAA… name',
      }),
      { minItems: 1, maxItems: 1_000, uniqueItems: true, description: 'SSH public keys.' },
    ),
  },
  { ...closed, description: 'A commit is policy only with a signature of one of these keys.' },
);

const BundleSigningSchema = Type.Object(
  {
    keys: Type.Array(
      Type.Object(
        {
          key: { ...FileReferenceSchema, description: 'The public key, PEM.' },
          algorithm: Type.Optional(choice(bundleAlgorithms, 'RS256 where it is absent.')),
          id: Type.Optional(text('As signatures name it. Absent: whatever they name.')),
        },
        closed,
      ),
      { minItems: 1, maxItems: 100 },
    ),
    scope: Type.Optional(text('That signatures have to name.')),
  },
  { ...closed, description: 'A bundle is policy only with a signature of one of these keys.' },
);

const fetched = {
  ca: Type.Optional({ ...FileReferenceSchema, description: "Authorities in place of the system's, as PEM." }),
  poll: Type.Optional(duration('How often the server is asked.', '30s')),
  signing: Type.Optional(BundleSigningSchema),
};

const BundleSchema = Type.Object(
  {
    url: Type.String({
      pattern: '^https?://\\S+$',
      description: 'Of one bundle, as OPA fetches it.',
      'x-problem': 'is no URL; write https://HOST/PATH',
    }),
    token: Type.Optional({ ...SecretSchema, description: 'Sent as bearer.' }),
    long_poll: Type.Optional(duration('How long the server may hold a request until there is something new.', '0s')),
    ...fetched,
  },
  closed,
);

const OciSchema = Type.Object(
  {
    url: Type.String({
      // Names of groups are not known to every reader of the published schema.
      pattern: ociUrlPattern.replace(/\(\?<\w+>/g, '('),
      description: 'Of an artifact: oci://REGISTRY/REPOSITORY:TAG, or @sha256:… in place of the tag.',
      'x-problem': 'names no artifact; write oci://REGISTRY/REPOSITORY:TAG, or @sha256:… in place of the tag',
    }),
    user: Type.Optional(text('For Basic, at the registry or where it sends for tokens.')),
    password: Type.Optional(SecretSchema),
    token: Type.Optional({ ...SecretSchema, description: 'Sent as bearer, in place of user and password.' }),
    ...fetched,
  },
  closed,
);

const names = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 1_000, uniqueItems: true, description }),
  );

const CanarySchema = Type.Object(
  {
    principals: names('Subjects, or ISSUER#SUBJECT.'),
    targets: names("Targets' names."),
    percent: Type.Optional(
      Type.Number({ minimum: 0, maximum: 100, description: 'So much of the principals, always the same ones.' }),
    ),
  },
  {
    ...closed,
    minProperties: 1,
    description: 'For whom the shadow is enforced: whoever fits all that is given. Absent: for nobody.',
  },
);

/** What stands beside the one key that names a source. */
const sources = {
  directory: text('A folder with Rego and data.'),
  git: GitSchema,
  bundle: BundleSchema,
  oci: OciSchema,
};

const signed = { signing: Type.Optional(SigningSchema) };
const shadowParts = { canary: Type.Optional(CanarySchema) };
const ShadowSchema = Type.Union(
  [
    Type.Object({ directory: sources.directory, ...shadowParts }, { ...closed, title: '{directory: PATH}' }),
    Type.Object({ git: sources.git, ...signed, ...shadowParts }, { ...closed, title: '{git: {url: …, branch: next}}' }),
    Type.Object({ bundle: sources.bundle, ...shadowParts }, { ...closed, title: '{bundle: {url: …}}' }),
    Type.Object({ oci: sources.oci, ...shadowParts }, { ...closed, title: '{oci: {url: …}}' }),
  ],
  { description: 'Another revision, judged beside the one in force on all that is asked, without effect.' },
);

const BaseSchema = Type.Union(
  [
    Type.Object({ directory: sources.directory }, { ...closed, title: '{directory: PATH}' }),
    Type.Object({ git: sources.git, ...signed }, { ...closed, title: '{git: {url: …, branch: main}}' }),
    Type.Object({ bundle: sources.bundle }, { ...closed, title: '{bundle: {url: …}}' }),
    Type.Object({ oci: sources.oci }, { ...closed, title: '{oci: {url: …}}' }),
  ],
  { description: "The organisation's policy: it always applies, and the source beside it may only tighten it." },
);

const StatusSchema = Type.Object(
  {
    url: Type.String({
      pattern: '^https?://[^\\s?#]+$',
      description: 'Of the service: status is posted to URL/status. https; http on loopback only.',
      'x-problem': 'is no URL of a service; write https://HOST/PATH, without "?" and "#"',
    }),
    partition: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$',
        maxLength: 256,
        description: 'Status is posted to URL/status/PARTITION.',
        'x-problem': 'is no path: letters, digits, "-", "_", "~", "." and "/" between names',
      }),
    ),
    token: Type.Optional({ ...SecretSchema, description: 'Sent as bearer.' }),
    ca: Type.Optional({ ...FileReferenceSchema, description: "Authorities in place of the system's, as PEM." }),
    gzip: Type.Optional(Type.Boolean({ default: false, description: 'Sent as Content-Encoding: gzip.' })),
    interval: Type.Optional(duration('How often it is sent where nothing changes; at least 1s.', '1m')),
    labels: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 256 }), Type.String({ maxLength: 1_024 }), {
        maxProperties: 64,
        description: 'Sent along, as OPA\'s are; "id" and "version" are the gateway\'s own.',
      }),
    ),
  },
  { ...closed, description: "Who is told how the policy stands, in the form of OPA's status API." },
);

const policyParts = {
  age_max: Type.Optional(
    Type.String({
      pattern: durationPattern,
      description: 'After this long without an answer of its source, everything is denied. At least 1m. Absent: never.',
      'x-problem': 'is no duration; write 1h or 7d',
    }),
  ),
  base: Type.Optional(BaseSchema),
  shadow: Type.Optional(ShadowSchema),
  status: Type.Optional(StatusSchema),
};
export const PolicySchema = Type.Union([
  Type.Object({ directory: sources.directory, ...policyParts }, { ...closed, title: '{directory: PATH}' }),
  Type.Object(
    { git: sources.git, ...signed, ...policyParts },
    { ...closed, title: '{git: {url: …, branch: main, path: .}}' },
  ),
  Type.Object({ bundle: sources.bundle, ...policyParts }, { ...closed, title: '{bundle: {url: …}}' }),
  Type.Object({ oci: sources.oci, ...policyParts }, { ...closed, title: '{oci: {url: …}}' }),
]);

export type BundleInput = Type.Static<typeof BundleSchema>;
export type OciInput = Type.Static<typeof OciSchema>;
export type StatusInput = Type.Static<typeof StatusSchema>;
export type PolicyInput = Type.Static<typeof PolicySchema>;
export type SourceInput = PolicyInput | Type.Static<typeof BaseSchema> | Type.Static<typeof ShadowSchema>;
