import { createEngine, noUsage, type Input, type Layer } from '#engine';
import { Compiler, DirectorySource, findOpa, packageRoot } from '../bundles/index.js';
import path from 'node:path';

/**
 * Many reloads while operations are judged: whether one is ever refused for it, and whether memory grows.
 *
 *   npm run bench:reloads -- 1000
 *
 * Each reload compiles the WebAssembly of the starter policy anew, warms it and swaps it in; between two of them as many
 * decisions are made as fit.
 */
const reloads = Number(process.argv[2] ?? 1_000);
const compiler = await Compiler.create({ opa: () => findOpa() });
const snapshot = await new DirectorySource(path.join(packageRoot, 'rego/policy')).read();
const { layer } = await compiler.check(snapshot);
const variants: Layer[] = [0, 1].map((number) => ({ ...layer, data: { ...(layer.data as object), bench: number } }));

const time = '2026-01-01T00:00:00.000Z';
const input = (number: number): Input => ({
  ...{ version: 1, time, usage: noUsage },
  principal: {
    ...{ subject: `agent:${number % 100}`, issuer: 'bench', kind: 'agent', groups: ['agents'], roles: ['readonly'] },
    ...{ purpose: 'bench', attributes: {}, token: { expires: time } },
  },
  session: { id: 'bench', started: time, client: { address: '127.0.0.1' }, rows: 0, taint: [] },
  target: { name: 'orders', protocol: 'postgres', labels: {} },
  operation: {
    ...{ stage: 'execute', action: 'connect', opaque: false, hash: String(number) },
    resources: [{ type: 'session', name: 'session', access: 'use' }],
  },
});

const engine = createEngine();
let decisions = 0;
let errors = 0;
let judging = true;
const load = (async () => {
  while (judging) {
    if (engine.current !== undefined) {
      decisions += 1;
      const { reasons } = engine.decide(input(decisions));
      if (reasons.some(({ code }) => code.startsWith('policy_') || code === 'no_policy')) errors += 1;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
})();

const took_ms: number[] = [];
const memory: { reload: number; rss_mib: number; heap_mib: number }[] = [];
for (let reload = 1; reload <= reloads; reload++) {
  const started = performance.now();
  engine.activate(await engine.prepare(`directory:${String(reload).padStart(40, '0')}`, [variants[reload % 2]!]));
  took_ms.push(performance.now() - started);
  if (reload % Math.max(1, Math.floor(reloads / 10)) !== 0) continue;
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  memory.push({
    reload,
    rss_mib: Math.round(rss / 1_048_576),
    heap_mib: Math.round((heapUsed + external) / 1_048_576),
  });
}
judging = false;
await load;
took_ms.sort((one, other) => one - other);
const at = (share: number) =>
  Number(took_ms[Math.min(took_ms.length - 1, Math.floor(took_ms.length * share))]!.toFixed(1));
console.table(memory);
console.log(JSON.stringify({ reloads, decisions, errors, p50_ms: at(0.5), p99_ms: at(0.99) }));
