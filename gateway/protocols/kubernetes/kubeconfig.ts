import { parseDocument } from 'yaml';
import { ConfigError } from '../../errors.js';

/** What the gateway needs of a kubeconfig: where the API server is, whom to trust, and as whom to ask. */
export interface Kubeconfig {
  readonly server: URL;
  readonly ca?: string;
  readonly serverName?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
}

interface Named {
  readonly name?: unknown;
}
type Part = Readonly<Record<string, unknown>>;

const loopback = /^(127(\.[0-9]{1,3}){3}|\[::1\]|localhost)$/u;

/** @throws {ConfigError} for what is no kubeconfig, or needs more than its own text */
export function readKubeconfig(text: string, context: string | undefined): Kubeconfig {
  const document = parseDocument(text);
  if (document.errors.length > 0) throw new ConfigError('the kubeconfig is no YAML');
  const read: unknown = document.toJS({ maxAliasCount: 0 });
  if (typeof read !== 'object' || read === null || Array.isArray(read))
    throw new ConfigError('this is no kubeconfig: write one with kubectl config view --raw --flatten --minify');
  const config = read as Part;
  const chosen = context ?? config['current-context'];
  if (typeof chosen !== 'string' || chosen === '')
    throw new ConfigError('the kubeconfig has no current context: name one with upstream.context');
  const { cluster: clusterName, user: userName } = named(config, 'contexts', chosen, 'context');
  const cluster = named(config, 'clusters', String(clusterName), 'cluster');
  const user = named(config, 'users', String(userName), 'user');
  for (const field of ['certificate-authority', 'client-certificate', 'client-key', 'tokenFile']) {
    if (field in cluster || field in user)
      throw new ConfigError(
        `the kubeconfig names another file (${field}): write it whole, with kubectl config view --raw --flatten --minify`,
      );
  }
  for (const field of ['exec', 'auth-provider', 'as', 'username']) {
    if (field in user)
      throw new ConfigError(`the kubeconfig's user has "${field}": give a token or a client certificate`);
  }
  const server = serverOf(cluster);
  const certificate = pem(user, 'client-certificate-data');
  const key = pem(user, 'client-key-data');
  const token = textOf(user, 'token');
  if (token === undefined && (certificate === undefined || key === undefined))
    throw new ConfigError("the kubeconfig's user has neither a token nor a client certificate with its key");
  const ca = pem(cluster, 'certificate-authority-data');
  const serverName = textOf(cluster, 'tls-server-name');
  return {
    server,
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(certificate === undefined || key === undefined ? {} : { certificate, key }),
    ...(token === undefined ? {} : { token }),
  };
}

function named(config: Part, list: string, name: string, inside: string): Part {
  const entries = Array.isArray(config[list]) ? (config[list] as (Named & Part)[]) : [];
  const found = entries.find((entry) => entry.name === name)?.[inside];
  if (typeof found !== 'object' || found === null) throw new ConfigError(`the kubeconfig has no ${inside} "${name}"`);
  return found as Part;
}

function serverOf(cluster: Part): URL {
  const text = textOf(cluster, 'server') ?? '';
  let server: URL;
  try {
    server = new URL(text);
  } catch {
    throw new ConfigError('the kubeconfig names no server that is a URL');
  }
  if (cluster['insecure-skip-tls-verify'] === true)
    throw new ConfigError(
      'the kubeconfig would trust any server (insecure-skip-tls-verify): give certificate-authority-data',
    );
  if ('proxy-url' in cluster)
    throw new ConfigError('the kubeconfig asks for a proxy (proxy-url), which is not supported');
  if (server.protocol !== 'https:' && !(server.protocol === 'http:' && loopback.test(server.hostname)))
    throw new ConfigError('the API server has to be reached over https:// (http:// on loopback only)');
  return server;
}

function textOf(part: Part, field: string): string | undefined {
  const value = part[field];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value === '') throw new ConfigError(`the kubeconfig's ${field} is no text`);
  return value;
}

function pem(part: Part, field: string): string | undefined {
  const value = textOf(part, field);
  if (value === undefined) return undefined;
  const text = Buffer.from(value, 'base64').toString('utf8');
  if (!text.includes('-----BEGIN ')) throw new ConfigError(`the kubeconfig's ${field} is no PEM in base64`);
  return text;
}
