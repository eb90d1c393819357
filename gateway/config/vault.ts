import { X509Certificate } from 'node:crypto';
import type { VaultConfig, VaultText } from './config.js';
import type { Reading } from './load.js';
import { absolute, isFileReference, readReference } from './references.js';
import type { VaultInput } from './vault-schema.js';

/** Where the service account's own token is, in every pod. */
const serviceAccountToken = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/** `vault`: what the gateway signs in there with is read when it does, the authority now. */
export async function readVault(input: VaultInput | undefined, reading: Reading): Promise<VaultConfig | undefined> {
  if (input === undefined) return undefined;
  const { directory, document, problems } = reading;
  const kept = (value: string | { readonly file: string }): VaultText =>
    isFileReference(value) ? { file: absolute(directory, value.file) } : value;
  let ca: string | undefined;
  if (input.tls?.ca !== undefined) {
    try {
      ca = await readReference(absolute(directory, input.tls.ca.file));
      new X509Certificate(ca);
    } catch (error) {
      const why = ca === undefined ? (error as Error).message : 'holds no certificate ("-----BEGIN CERTIFICATE-----")';
      problems.push(document.problem(['vault', 'tls', 'ca', 'file'], why));
    }
  }
  if ('jwt' in input.auth && input.auth.jwt.jwt === undefined) {
    problems.push(document.keyProblem(['vault', 'auth', 'jwt'], '"jwt" is missing: the token to sign in with'));
  }
  return {
    address: input.address.replace(/\/$/u, ''),
    ...(input.namespace === undefined ? {} : { namespace: input.namespace }),
    ...(ca === undefined ? {} : { ca }),
    ...(input.tls?.server_name === undefined ? {} : { serverName: input.tls.server_name }),
    auth: authOf(input.auth, kept),
  };
}

function authOf(auth: VaultInput['auth'], kept: (value: string | { readonly file: string }) => VaultText) {
  if ('token' in auth) return { method: 'token', token: kept(auth.token) } as const;
  if ('approle' in auth) {
    const { mount = 'approle', role_id, secret_id } = auth.approle;
    const secretId = secret_id === undefined ? {} : { secretId: kept(secret_id) };
    return { method: 'approle', mount, roleId: kept(role_id), ...secretId } as const;
  }
  const [method, { role, mount = method, jwt = { file: serviceAccountToken } }] =
    'jwt' in auth ? (['jwt', auth.jwt] as const) : (['kubernetes', auth.kubernetes] as const);
  return { method: 'jwt', mount, role, jwt: kept(jwt) } as const;
}
