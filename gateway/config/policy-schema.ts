import Type from 'typebox';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';
import { closed, duration, text } from './schema-parts.js';

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
};

const signed = { signing: Type.Optional(SigningSchema) };
const shadowParts = { canary: Type.Optional(CanarySchema) };
const ShadowSchema = Type.Union(
  [
    Type.Object({ directory: sources.directory, ...shadowParts }, { ...closed, title: '{directory: PATH}' }),
    Type.Object({ git: sources.git, ...signed, ...shadowParts }, { ...closed, title: '{git: {url: …, branch: next}}' }),
  ],
  { description: 'Another revision, judged beside the one in force on all that is asked, without effect.' },
);

const BaseSchema = Type.Union(
  [
    Type.Object({ directory: sources.directory }, { ...closed, title: '{directory: PATH}' }),
    Type.Object({ git: sources.git, ...signed }, { ...closed, title: '{git: {url: …, branch: main}}' }),
  ],
  { description: "The organisation's policy: it always applies, and the source beside it may only tighten it." },
);

const policyParts = { base: Type.Optional(BaseSchema), shadow: Type.Optional(ShadowSchema) };
export const PolicySchema = Type.Union([
  Type.Object({ directory: sources.directory, ...policyParts }, { ...closed, title: '{directory: PATH}' }),
  Type.Object(
    { git: sources.git, ...signed, ...policyParts },
    { ...closed, title: '{git: {url: …, branch: main, path: .}}' },
  ),
]);

export type PolicyInput = Type.Static<typeof PolicySchema>;
export type SourceInput = PolicyInput | Type.Static<typeof BaseSchema> | Type.Static<typeof ShadowSchema>;
