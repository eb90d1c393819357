import { refusal } from './error.js';
import { exceededMessage, runSandboxed } from './sandbox.js';

interface Capabilities {
  readonly builtins: readonly { readonly name: string }[];
  readonly [other: string]: unknown;
}

const cache = new Map<string, Promise<string>>();

/**
 * OPA's capabilities file, cut down to the built-ins that the engine supplies and to no network at all: the one file
 * that check, test and build are run with. What production lacks is thereby refused at compile, with file and line, and
 * a test cannot pass on it.
 *
 * @see https://www.openpolicyagent.org/docs/latest/deployments/#capabilities
 */
export function capabilitiesFile(opa: string, builtins: readonly string[], cwd: string): Promise<string> {
  const key = JSON.stringify([opa, builtins]);
  let found = cache.get(key);
  if (found === undefined) {
    found = make(opa, new Set(builtins), cwd);
    cache.set(key, found);
    // A failure is not remembered.
    found.catch(() => cache.delete(key));
  }
  return found;
}

async function make(opa: string, supplied: ReadonlySet<string>, cwd: string): Promise<string> {
  const run = await runSandboxed(opa, ['capabilities', '--current'], { cwd });
  if (run.status !== 0) {
    const why = run.exceeded === undefined ? run.stderr.trim() : exceededMessage('it', run.exceeded);
    throw refusal('opa_broken', `"${opa} capabilities" failed: ${why}`);
  }
  const current = JSON.parse(run.stdout) as Capabilities;
  return JSON.stringify({
    ...current,
    builtins: current.builtins.filter(({ name }) => supplied.has(name)),
    allow_net: [],
  });
}
