import Type from 'typebox';
import { closed, text } from './schema-parts.js';

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
  },
  closed,
);

const names = (description: string) =>
  Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 1_000, uniqueItems: true, description }),
  );

const CanarySchema = Type.Object(
  {
    principals: names('Subjects.'),
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

const shadowParts = { canary: Type.Optional(CanarySchema) };
const ShadowSchema = Type.Union(
  [
    Type.Object({ directory: sources.directory, ...shadowParts }, { ...closed, title: '{directory: PATH}' }),
    Type.Object({ git: sources.git, ...shadowParts }, { ...closed, title: '{git: {url: …, branch: next}}' }),
  ],
  { description: 'Another revision, judged beside the one in force on all that is asked, without effect.' },
);

const policyParts = { shadow: Type.Optional(ShadowSchema) };
export const PolicySchema = Type.Union([
  Type.Object({ directory: sources.directory, ...policyParts }, { ...closed, title: '{directory: PATH}' }),
  Type.Object({ git: sources.git, ...policyParts }, { ...closed, title: '{git: {url: …, branch: main, path: .}}' }),
]);

export type PolicyInput = Type.Static<typeof PolicySchema>;
export type SourceInput = PolicyInput | Type.Static<typeof ShadowSchema>;
