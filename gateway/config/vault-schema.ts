import Type, { type Static } from 'typebox';
import { FileReferenceSchema, SecretSchema } from './references-schema.js';
import { closed, text } from './schema-parts.js';

const mount = (byDefault: string) =>
  Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$',
      default: byDefault,
      description: 'Where the method is mounted, without auth/ before it.',
      'x-problem': 'is no path of a mount: write it without auth/ and without slashes at its ends',
    }),
  );

/** The file's own reference is kept: it is read at each sign-in, as it rotates. */
const TokenAuthSchema = Type.Object({ token: SecretSchema }, { ...closed, title: '{token: …}' });

const RoleAuthSchema = (byDefault: string) =>
  Type.Object(
    { role: text('The role to sign in as.'), mount: mount(byDefault), jwt: Type.Optional(SecretSchema) },
    closed,
  );

const AppRoleSchema = Type.Object(
  { role_id: SecretSchema, secret_id: Type.Optional(SecretSchema), mount: mount('approle') },
  closed,
);

/** Where `{vault: …}` in the upstream of a target leads. */
export const VaultSectionSchema = Type.Object(
  {
    address: Type.String({
      pattern: '^(https://|http://(127\\.[0-9.]+|localhost|\\[::1\\])([:/]|$))[^\\s/?#@]*/?$',
      description: 'https://HOST[:PORT]; http:// on loopback only.',
      'x-problem':
        'must be https://HOST[:PORT] (http:// on loopback only), without a path: secrets would travel in clear',
    }),
    namespace: Type.Optional(
      Type.String({ pattern: '^[!-~]{1,256}$', description: 'Sent along as X-Vault-Namespace.' }),
    ),
    tls: Type.Optional(
      Type.Object(
        { ca: Type.Optional(FileReferenceSchema), server_name: Type.Optional(Type.String({ minLength: 1 })) },
        { ...closed, description: 'Absent: the authorities that Node.js trusts.' },
      ),
    ),
    auth: Type.Union(
      [
        TokenAuthSchema,
        Type.Object({ kubernetes: RoleAuthSchema('kubernetes') }, { ...closed, title: '{kubernetes: {role: …}}' }),
        Type.Object({ jwt: RoleAuthSchema('jwt') }, { ...closed, title: '{jwt: {role: …, jwt: {file: …}}}' }),
        Type.Object({ approle: AppRoleSchema }, { ...closed, title: '{approle: {role_id: …, secret_id: …}}' }),
      ],
      { description: 'How the gateway signs in.' },
    ),
  },
  {
    ...closed,
    description: 'HashiCorp Vault, or what speaks its API: where {vault: …} in the upstream of a target leads.',
  },
);

export type VaultInput = Static<typeof VaultSectionSchema>;
