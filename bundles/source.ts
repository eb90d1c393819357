import { DirectorySource } from './directory.js';
import { refusal } from './error.js';
import { GitSource } from './git.js';
import type { Source } from './snapshot.js';

/** The `policy` part of the configuration, with paths already resolved. */
export type SourceOptions =
  | { readonly directory: string }
  | { readonly git: { readonly url: string; readonly branch?: string; readonly path?: string } };

export function openSource(options: SourceOptions): Source {
  if ('directory' in options) return new DirectorySource(options.directory);
  const { url, branch = 'main', path = '.' } = options.git;
  return new GitSource({ repository: localRepository(url), branch, path });
}

/** Only a repository on this machine is read; a remote one is for a mirror that git itself keeps. */
function localRepository(url: string): string {
  if (url.startsWith('file://')) {
    const { hostname, pathname } = new URL(url);
    if (hostname === '' || hostname === 'localhost') return decodeURIComponent(pathname);
  } else if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(url) && !/^[^/]+@?[^/]*:(?!\\)/.test(url) && !url.startsWith('-')) {
    return url;
  }
  throw refusal(
    'remote_git',
    `policy.git.url ${JSON.stringify(withoutCredentials(url))} is not a repository on this machine`,
    {
      help: 'Keep a local mirror (`git clone --mirror`, then `git remote update` by hook or timer) and name its path here.',
    },
  );
}

const withoutCredentials = (url: string): string => url.replace(/\/\/[^/@]*@/, '//***@');
