import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Web } from '../support/web.js';

/** A kubeconfig of who signs in at the gateway with a token of its own, in the gateway's folder; gives its path. */
export async function guardedConfig(web: Web): Promise<string> {
  const file = join(web.gateway.folder, 'guarded');
  const server = `https://127.0.0.1:${String(web.port)}/kubernetes/cloud`;
  const config = {
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'one' },
    contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
    clusters: [
      { name: 'one', cluster: { server, 'certificate-authority-data': Buffer.from(web.ca).toString('base64') } },
    ],
    users: [{ name: 'one', user: { token: await web.gateway.token({ expiresIn: 1_800 }) } }],
  };
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
