import { createEngine } from '#engine';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { keepPolicy, openSource, type Source } from '../../bundles/index.js';
import { clientTest } from '../clients/support.js';
import { type Sshd, startSshd } from '../clients/ssh/sshd.js';
import { cleanUp, commit, compiler, git, goodPolicy, repository, scratch } from './support.js';

/** Policy from a repository behind OpenSSH's own server, with a deploy key and the host's key, and with neither. */

const group = 'policy over SSH,';

describe(group, () => {
  let sshd: Sshd;
  let folder: string;
  let keys: string;

  beforeAll(async () => {
    keys = await scratch();
    sshd = await startSshd(await scratch());
    folder = await repository(goodPolicy);
    await writeFile(path.join(keys, 'deploy'), sshd.privateKey, { mode: 0o600 });
    await writeFile(path.join(keys, 'known_hosts'), `${sshd.known}\n`);
  });
  afterAll(async () => {
    await sshd?.close();
    await cleanUp();
  });

  /** @param files Where they are not the right ones. */
  async function source(files: { ssh_key?: string; known_hosts?: string } = {}): Promise<Source> {
    const url = `ssh://${sshd.user}@${sshd.host}:${sshd.port}${folder}`;
    const right = { ssh_key: path.join(keys, 'deploy'), known_hosts: path.join(keys, 'known_hosts') };
    return openSource({ git: { url, poll_ms: 1_000, ...right, ...files } }, await scratch());
  }

  clientTest(group, 'a commit is in force, and the next one when it is looked at', async () => {
    const silent = { info: () => {}, warn: () => {}, error: () => {} };
    let told = (_revision: string | undefined) => {};
    const keeper = await keepPolicy({
      ...{ source: await source(), engine: createEngine(), directory: await scratch(), log: silent },
      compiler: await compiler(),
      onEvent: ({ type, revision }) => type === 'activated' && told(revision),
    });
    try {
      const first = git(folder, 'rev-parse', 'HEAD');
      expect(keeper.status()).toMatchObject({ revision: `git:${first}`, last: { ok: true, tests: { passed: 1 } } });
      expect(keeper.status().source).toBe(`git ssh://${sshd.host}:${sshd.port}${folder}, branch main`);
      const inForce = new Promise((resolve) => (told = resolve));
      const next = await commit(folder, { 'data.yaml': 'secret_tables: []\n' }, 'second');
      // Nobody says that there is something new: it is found by polling.
      expect(await inForce).toBe(`git:${next}`);
    } finally {
      await keeper.close();
    }
  });

  clientTest(group, 'a host whose key is not known is refused, and a key that it does not know, each with what to do', async () => {
    await writeFile(path.join(keys, 'none'), '');
    const stranger = path.join(keys, 'stranger');
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', stranger]);
    const other = execFileSync('ssh-keygen', ['-y', '-f', stranger], { encoding: 'utf8' }).trim();
    await writeFile(path.join(keys, 'changed'), `[${sshd.host}]:${sshd.port} ${other}\n`);
    for (const name of ['none', 'changed']) {
      const refused = (await source({ known_hosts: path.join(keys, name) })).read();
      await expect(refused).rejects.toThrow(/host key[^]*policy\.git\.known_hosts[^]*ssh-keyscan/i);
    }
    await expect((await source({ ssh_key: stranger })).read()).rejects.toThrow(/permission denied[^]*policy\.git\.ssh_key[^]*deploy key/i); // prettier-ignore
    expect((await (await source()).read()).revision).toBe(`git:${git(folder, 'rev-parse', 'HEAD')}`);
  }); // prettier-ignore
});
