import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeTar } from '../../bundles/tar.js';
import { startWeb, type Web } from '../support/web.js';
import { installed, serveRegistry } from './crane-registry.js';
import { clientTest, runProgram } from './support.js';

/** cosign as it is, signing and verifying through the gateway, at a registry that knows no referrers. */

const policy = {
  'registry.rego': `package policy.registry

import data.sallyport.registry

allow contains {"code": "pulls"} if registry.pulls_only

allow contains {"code": "pushes"} if registry.pushes

deny contains {"code": "unsigned", "message": "no signature that counts"} if {
  input.operation.registry.object == "manifest"
  not _by_digest
  not "release" in registry.signers
  not registry.inert
}

_by_digest if {
  registry.publishes
  not registry.published_tag
}
`,
};

const group = 'cosign and crane, through the gateway,';

describe(group, () => {
  let web: Web;
  let registry: ChildProcess;
  let folder: string;
  let crane: string;
  let cosign: string;
  let gate: string;
  let direct: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    cosign = installed('cosign');
    if (cosign === '') return;
    crane = installed('crane');
    folder = await mkdtemp(join(tmpdir(), 'sallyport-cosign-'));
    env = { DOCKER_CONFIG: folder, SSL_CERT_FILE: join(folder, 'ca.pem'), COSIGN_PASSWORD: '' };
    for (const name of ['release', 'other'])
      await succeeds(cosign, 'generate-key-pair', '--output-key-prefix', at(name));
    ({ registry, direct } = await serveRegistry(crane));
    web = await startWeb({
      policy,
      protocol: 'registry',
      upstream: () => ({
        url: `http://${direct}`,
        signatures: { keys: [{ name: 'release', key: { file: `${at('release')}.pub` } }] },
      }),
    });
    gate = `127.0.0.1:${String(web.port)}`;
    const auth = Buffer.from(`agent:${await web.gateway.token({ expiresIn: 1_800 })}`).toString('base64');
    await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [gate]: { auth } } }));
    await writeFile(join(folder, 'ca.pem'), web.ca);
  }, 600_000);
  afterAll(async () => {
    registry?.kill();
    await web?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const at = (name: string) => join(folder, name);
  const run = (program: string, ...parameters: string[]) => runProgram(program, parameters, { env });

  async function succeeds(program: string, ...parameters: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(program, ...parameters);
    expect({ parameters, code, stderr: code === 0 ? '' : stderr }).toEqual({ parameters, code: 0, stderr: '' });
    return stdout.trim();
  }

  /** An image that came to the registry without the gateway; gives its digest. */
  async function image(name: string): Promise<string> {
    const tar = at(`${name.replaceAll('/', '-')}.tar`);
    await writeFile(tar, writeTar(new Map([['file', Buffer.from(name)]])));
    const pushed = await succeeds(crane, 'append', '--new_layer', tar, '--new_tag', `${direct}/${name}:v1`);
    return pushed.split('@')[1] ?? '';
  }

  const sign = (key: string, reference: string, ...more: string[]) =>
    succeeds(
      cosign,
      ...['sign', '--yes', '--key', `${at(key)}.key`, '--tlog-upload=false', '--use-signing-config=false', ...more],
      reference,
    );
  const pull = (name: string) => run(crane, 'manifest', `${gate}/cloud/${name}:v1`);

  for (const [form, flags] of [
    ['a bundle', []],
    ['a payload at its tag', ['--new-bundle-format=false']],
  ] as const) {
    clientTest(group, `signs with ${form}, which counts for pulls and for tags, and is verified`, async () => {
      const name = `team/${form.replaceAll(' ', '-')}`;
      const digest = await image(name);
      const reference = `${gate}/cloud/${name}@${digest}`;
      const refused = await pull(name);
      expect({ code: refused.code, said: refused.stderr.includes('no signature that counts') }).toEqual({
        code: 1,
        said: true,
      });
      // Whoever signs asks for the image first, which is not signed yet: it is signed where it was built.
      await sign('other', `${direct}/${name}@${digest}`, ...flags);
      expect((await pull(name)).code).toBe(1);
      await sign('release', `${direct}/${name}@${digest}`, ...flags);
      expect((await pull(name)).code).toBe(0);
      await sign('release', reference, '--annotations', 'for=production', ...flags);
      await succeeds(crane, 'copy', reference, `${gate}/cloud/${name}:v2`);
      const key = ['--key', `${at('release')}.pub`, '--insecure-ignore-tlog=true'];
      const old = flags.length === 0 ? [] : ['--new-bundle-format=false'];
      expect(await succeeds(cosign, 'verify', ...key, ...old, reference)).toContain(digest);
      expect((await run(crane, 'digest', `${direct}/${name}:v2`)).stdout.trim()).toBe(digest);
    });
  }
});
