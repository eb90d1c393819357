import { execFile } from 'node:child_process';
import { mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { findOpa } from '../../bundles/opa.js';
import { readTar } from '../../bundles/tar.js';
import { noUsage, type Input, type Layer, type LayerManifest } from '../../engine/index.js';

/** Policies for tests, compiled by the real compiler; nothing of the way that leads a commit into force. */

const run = promisify(execFile);
const entry = fileURLToPath(new URL('../../rego/sallyport', import.meta.url));

export interface Build {
  /** Instead of the shipped entry point: a module of package sallyport. */
  readonly entry?: string;
  /** Passed on to the compiler: {"builtins": […]}. */
  readonly capabilities?: unknown;
}

/** Runs `use` in a folder of its own that is gone afterwards. */
export async function inFolder<T>(
  files: Readonly<Record<string, string>>,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-policy-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** policy.wasm of these modules, with the entry point sallyport/decision. */
export async function compileRego(modules: readonly string[], build: Build = {}): Promise<Uint8Array> {
  const opa = await findOpa();
  const files = Object.fromEntries(modules.map((text, index) => [`policy/module_${String(index)}.rego`, text]));
  if (build.entry !== undefined) files['policy/entry.rego'] = build.entry;
  if (build.capabilities !== undefined) files['capabilities.json'] = JSON.stringify(build.capabilities);
  return inFolder(files, async (folder) => {
    const options = build.capabilities === undefined ? [] : ['--capabilities', join(folder, 'capabilities.json')];
    const sources = build.entry === undefined ? [entry, join(folder, 'policy')] : [join(folder, 'policy')];
    const target = join(folder, 'bundle.tar.gz');
    await run(opa, [
      'build',
      '-t',
      'wasm',
      '-O0',
      '-e',
      'sallyport/decision',
      '--ignore',
      '*_test.rego',
      '-o',
      target,
      ...options,
      ...sources,
    ]);
    const wasm = readTar(gunzipSync(await readFile(target))).get('policy.wasm');
    if (wasm === undefined) throw new Error('the compiler wrote no policy.wasm');
    return wasm;
  });
}

/** A layer of one module of package policy.postgres, unless the manifest says otherwise. */
export async function layerOf(
  modules: string | readonly string[],
  manifest: Partial<LayerManifest> = {},
  data: unknown = {},
  build: Build = {},
): Promise<Layer> {
  return {
    manifest: { name: 'test', format: 1, rules: [], reads: {}, packages: ['postgres'], builtins: [], ...manifest },
    wasm: await compileRego(typeof modules === 'string' ? [modules] : modules, build),
    data,
  };
}

/** An ordinary read by an agent. */
export function inputOf(changes: Partial<Input> = {}): Input {
  return {
    version: 1,
    time: '2026-11-22T09:00:00.000Z',
    principal: {
      subject: 'agent:a',
      issuer: 'https://idp.example',
      kind: 'agent',
      groups: ['agents'],
      roles: ['readonly'],
      attributes: {},
      token: { expires: '2026-11-22T10:00:00.000Z' },
    },
    session: {
      id: 's1',
      started: '2026-11-22T08:59:00.000Z',
      client: { address: '127.0.0.1' },
      transaction: 'idle',
      rows: 0,
      taint: [],
    },
    target: { name: 'orders', protocol: 'postgres', labels: {} },
    operation: {
      stage: 'execute',
      action: 'read',
      resources: [{ type: 'relation', name: 'app.orders', access: 'read' }],
      opaque: false,
      hash: '0'.repeat(64),
    },
    usage: noUsage,
    ...changes,
  };
}
