import { access, constants, stat } from 'node:fs/promises';
import type { PolicyConfig, PolicySource } from './config.js';
import type { KeyPath } from './document.js';
import type { Reading } from './load.js';
import type { PolicyInput, SourceInput } from './policy-schema.js';
import { absolute, whyUnreadable } from './references.js';

/** The part `policy`: paths made absolute, and looked at. */
export async function readPolicy(input: PolicyInput, reading: Reading): Promise<PolicyConfig> {
  const source = await readSource(input, ['policy'], reading);
  const { shadow } = input;
  if (shadow === undefined) return source;
  const tried = await readSource(shadow, ['policy', 'shadow'], reading);
  const { canary } = shadow;
  return { ...source, shadow: { ...tried, ...(canary === undefined ? {} : { canary }) } };
}

async function readSource(input: SourceInput, at: KeyPath, reading: Reading): Promise<PolicySource> {
  const { directory, document, problems } = reading;
  const refuse = (path: KeyPath, message: string) => problems.push(document.problem([...at, ...path], message));
  if ('directory' in input) {
    const folder = absolute(directory, input.directory);
    const wrong = await whyNoFolder(folder);
    if (wrong !== undefined) refuse(['directory'], `the folder ${folder} ${wrong}`);
    return { directory: folder };
  }
  const { url, branch = 'main', path = '.' } = input.git;
  // "host:path" and "scheme://…" are git's own forms for what is elsewhere; all else is a path.
  const elsewhere = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/|^[^/\s]+:/u.test(url);
  const location = elsewhere ? url : absolute(directory, url);
  const wrong = elsewhere ? undefined : await whyNoFolder(location);
  if (wrong !== undefined) refuse(['git', 'url'], `the repository ${location} ${wrong}`);
  return { git: { url: location, branch, path } };
}

async function whyNoFolder(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isDirectory()) return 'is no folder';
    await access(path, constants.R_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return whyUnreadable(error);
  }
}
