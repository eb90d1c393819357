import { DirectorySource } from './directory.js';
import { refusal } from './error.js';
import { RemoteGitSource } from './git-remote.js';
import { GitSource } from './git.js';
import { OciSource, type OciOptions } from './oci.js';
import { type BundleServerOptions, BundleServerSource } from './opa-server.js';
import type { Signers } from './signed-commits.js';
import type { Source } from './snapshot.js';

/** The `policy` part of the configuration, with paths already resolved and secrets read. */
export type SourceOptions =
  | { readonly directory: string }
  | { readonly bundle: BundleSourceOptions }
  | { readonly oci: OciSourceOptions }
  | { readonly git: GitSourceOptions; readonly signing?: Signers | undefined };

export interface BundleSourceOptions extends Omit<BundleServerOptions, 'poll_ms' | 'long_poll_ms'> {
  readonly poll_ms?: number;
  readonly long_poll_ms?: number;
}

export interface OciSourceOptions extends Omit<OciOptions, 'poll_ms'> {
  readonly poll_ms?: number;
}

export interface GitSourceOptions {
  readonly url: string;
  readonly branch?: string;
  readonly path?: string;
  readonly token?: string;
  readonly ssh_key?: string;
  readonly known_hosts?: string;
  readonly ca?: string;
  readonly poll_ms?: number;
}

const poll_default_ms = 30_000;

/** @param directory A folder of the gateway's own, for what is fetched. Absent: only what is on this machine is read. */
export function openSource(options: SourceOptions, directory?: string): Source {
  if ('directory' in options) return new DirectorySource(options.directory);
  if ('bundle' in options)
    return new BundleServerSource({ poll_ms: poll_default_ms, long_poll_ms: 0, ...options.bundle });
  if ('oci' in options) return new OciSource({ poll_ms: poll_default_ms, ...options.oci });
  const { url, branch = 'main', path = '.' } = options.git;
  const signers = options.signing;
  const repository = localRepository(url);
  if (repository !== undefined) return new GitSource({ repository, branch, path, signers });
  if (directory === undefined)
    throw refusal('remote_git', `policy.git.url ${JSON.stringify(withoutCredentials(url))} is not on this machine`, {
      help: 'Clone it, and name the clone.',
    });
  const { token, ssh_key: sshKey, known_hosts: knownHosts, ca, poll_ms = poll_default_ms } = options.git;
  return new RemoteGitSource({
    ...{ url, branch, path, directory, poll_ms, signers },
    ...(token !== undefined && { token }),
    ...(sshKey !== undefined && { sshKey }),
    ...(knownHosts !== undefined && { knownHosts }),
    ...(ca !== undefined && { ca }),
  });
}

/** The path of a repository on this machine; undefined for one elsewhere. */
function localRepository(url: string): string | undefined {
  if (url.startsWith('file://')) {
    const { hostname, pathname } = new URL(url);
    return hostname === '' || hostname === 'localhost' ? decodeURIComponent(pathname) : undefined;
  }
  const elsewhere = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) || /^[^/]+@?[^/]*:(?!\\)/.test(url);
  if (url.startsWith('-')) throw refusal('bad_remote', `policy.git.url ${JSON.stringify(url)} is no repository`);
  return elsewhere ? undefined : url;
}

const withoutCredentials = (url: string): string => url.replace(/\/\/[^/@]*@/, '//***@');
