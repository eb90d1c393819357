import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

/** The registry that comes with crane: a real one, in memory. */

/** What clients may do in it: below `team/`, labelled where the tag says so, and releases wait for people. */
export const registryPolicy = `package policy.registry

import data.sallyport.registry

allow contains {"code": "pulls"} if registry.pulls_only

allow contains {"code": "pushes"} if registry.pushes

allow contains {"code": "removes"} if registry.removes

deny contains {"code": "elsewhere", "message": "push below team/"} if {
  registry.pushes
  not registry.below("team")
}

deny contains {"code": "unlabelled", "message": "say whose it is"} if {
  registry.published_tag == "labelled"
  not registry.labels["org.example.owner"]
}

approval contains {"code": "releases_wait", "groups": ["operators"]} if registry.published_tag == "release"
`;

/** Where a client is that probe.mjs installs; empty where it cannot be had. */
export const installed = (client: string): string =>
  spawnSync('node', [join(import.meta.dirname, 'probe.mjs'), client], { encoding: 'utf8' }).stdout.trim();

export async function serveRegistry(crane: string): Promise<{ registry: ChildProcess; direct: string }> {
  const registry = spawn(crane, ['registry', 'serve', '--address', '127.0.0.1:0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return { registry, direct: `127.0.0.1:${await portOf(registry)}` };
}

/** The registry says it on its standard error, once it listens. */
function portOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const [, port] = /serving on port (\d+)/.exec(text) ?? [];
      if (port !== undefined) resolve(port);
    });
    child.once('exit', () => reject(new Error(`the registry ended: ${text}`)));
  });
}
