import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { refusal } from './error.js';
import { gitEnvironment } from './git-run.js';
import type { Commit } from './snapshot.js';

/** Whose signatures make a commit policy: SSH keys as `ssh-keygen` writes them, one a line. */
export interface Signers {
  readonly keys: readonly string[];
}

const verify_ms_max = 10_000;

/**
 * Demands a signature of one of the keys on a commit (`git verify-commit`, gitformat-signature(5)); gives the key's
 * fingerprint. It is the commit that is signed, and through its hash the tree that is read.
 */
export async function demandSigned(gitDirectory: string, hash: string, { keys }: Signers): Promise<string> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sallyport-signers-'));
  try {
    const allowed = path.join(folder, 'allowed_signers');
    await writeFile(allowed, keys.map((key) => `* namespaces="git" ${key.trim()}\n`).join(''), { mode: 0o600 });
    const said = await verify(gitDirectory, hash, allowed);
    const fingerprint = /^Good "git" signature for \S+ with \S+ key (SHA256:[A-Za-z0-9+/]+)/m.exec(said)?.[1];
    if (fingerprint !== undefined) return fingerprint;
    if (/cannot run ssh-keygen/.test(said))
      throw refusal('unsigned', `the signature of commit ${hash} cannot be checked: git found no ssh-keygen`, {
        help: 'Install OpenSSH (8.2 or newer, not 8.7) where the gateway runs: git checks signatures with its ssh-keygen.',
      });
    const why = /SHA256:[A-Za-z0-9+/]+/.exec(said);
    throw refusal(
      'unsigned',
      why === null
        ? `commit ${hash} is not signed`
        : `commit ${hash} is signed by ${why[0]}, which is none of policy.signing.keys`,
      {
        help: 'Sign it with `git commit -S`, gpg.format "ssh" and one of the keys; the last good revision stays in force.',
      },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether a commit was found to be signed by one of these keys when it was read. */
export const isSignedBy = (commit: Commit | undefined, { keys }: Signers): boolean =>
  commit?.signer !== undefined && keys.some((key) => fingerprintOf(key) === commit.signer);

/** As ssh-keygen prints it: SHA-256 over the key, in base64 without padding. */
function fingerprintOf(key: string): string {
  const [, blob = ''] = key.trim().split(' ');
  return `SHA256:${createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64').slice(0, 43)}`;
}

/** What git says, whatever its verdict. */
function verify(gitDirectory: string, hash: string, allowed: string): Promise<string> {
  // What the repository's own configuration says of programs and keys plays no part.
  const settings = ['gpg.ssh.program=ssh-keygen', `gpg.ssh.allowedSignersFile=${allowed}`, 'gpg.ssh.revocationFile=', 'gpg.program=false', 'gpg.x509.program=false']; // prettier-ignore
  const args = [
    ...settings.flatMap((one) => ['-c', one]),
    ...['-c', 'safe.directory=*', '-c', 'core.fsmonitor=false', `--git-dir=${gitDirectory}`],
    ...['verify-commit', '--raw', hash],
  ];
  return new Promise((resolve) => {
    execFile('git', args, { env: gitEnvironment(), timeout: verify_ms_max, cwd: '/' }, (error, stdout, stderr) => {
      // The verdict is git's exit code; its words alone prove nothing.
      const words = `${stdout}\n${stderr}`;
      resolve(error === null ? words : words.replaceAll('Good "git" signature', 'refused signature'));
    });
  });
}
