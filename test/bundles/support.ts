import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Compiler, findOpa, type Snapshot } from '../../bundles/index.js';
import { SnapshotBuilder } from '../../bundles/snapshot.js';

const folders: string[] = [];

export async function scratch(): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-test-'));
  folders.push(folder);
  return folder;
}

/** For afterAll. */
export async function cleanUp(): Promise<void> {
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
}

export type Files = Readonly<Record<string, string>>;

export async function writeTree(folder: string, files: Files): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), content);
  }
}

export function snapshotOf(files: Files): Snapshot {
  const builder = new SnapshotBuilder();
  for (const [name, content] of Object.entries(files)) builder.add(name, Buffer.from(content));
  return builder.finish({});
}

let shared: Promise<Compiler> | undefined;
export function compiler(): Promise<Compiler> {
  shared ??= findOpa().then((opa) => Compiler.create({ opa }));
  return shared;
}

export function git(folder: string, ...args: string[]): string {
  const identity = {
    GIT_AUTHOR_NAME: 'Ada',
    GIT_AUTHOR_EMAIL: 'ada@example.com',
    GIT_COMMITTER_NAME: 'Ada',
    GIT_COMMITTER_EMAIL: 'ada@example.com',
  };
  return execFileSync('git', ['-c', 'commit.gpgsign=false', ...args], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: folder, GIT_CONFIG_NOSYSTEM: '1', ...identity },
  }).trim();
}

/** A repository with one commit; gives its folder. */
export async function repository(files: Files): Promise<string> {
  const folder = await scratch();
  git(folder, 'init', '-q', '-b', 'main');
  await commit(folder, files, 'first');
  return folder;
}

/** Writes files and commits everything; gives the commit's hash. */
export async function commit(folder: string, files: Files, subject: string): Promise<string> {
  await writeTree(folder, files);
  git(folder, 'add', '-A');
  git(folder, 'commit', '-q', '--allow-empty', '-m', subject);
  return git(folder, 'rev-parse', 'HEAD');
}

export interface SigningKey {
  /** As in a .pub file. */
  readonly publicKey: string;
  /** An empty commit that it signs. */
  sign(folder: string, subject: string): void;
}

export async function signingKey(): Promise<SigningKey> {
  const file = path.join(await scratch(), 'key');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
  return {
    publicKey: (await readFile(`${file}.pub`, 'utf8')).trim(),
    sign: (folder, subject) => void git(folder, '-c', 'gpg.format=ssh', '-c', `user.signingkey=${file}`, 'commit', '-q', '-S', '--allow-empty', '-m', subject), // prettier-ignore
  };
}

/** A small policy that keeps the contract, with its test. */
export const goodPolicy: Files = {
  'postgres.rego': `package policy.postgres

# METADATA
# title: Agents read
# custom: {code: agent_reads}
allow contains {"code": "agent_reads"} if input.operation.action == "read"

# METADATA
# title: No secrets
deny contains {"code": "secrets_denied"} if {
	some resource in input.operation.resources
	resource.name in data.secret_tables
}
`,
  'postgres_test.rego': `package policy.postgres_test

import data.policy.postgres

test_reads_are_allowed if {
	count(postgres.allow) == 1 with input as {"operation": {"action": "read", "resources": []}}
}
`,
  'data.yaml': 'secret_tables: [app.secrets]\n',
};
