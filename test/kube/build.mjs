import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/**
 * A real Kubernetes API server with etcd and a stand-in node, built from the Go module proxy: `npm run kube`. It takes 15 to 25
 * minutes the first time, and is kept for as long as nothing of its sources changes.
 *
 *     node test/kube/build.mjs            builds it, unless it is there
 *     node test/kube/build.mjs --check    exit code 0 if it is there
 */
const sources = fileURLToPath(new URL('./cluster', import.meta.url));

/** Where the binary is, once it is built. */
export function clusterBinary() {
  const sum = createHash('sha256');
  for (const file of readdirSync(sources).sort()) sum.update(file).update(readFileSync(join(sources, file)));
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(cache, 'sallyport', 'kube', `cluster-${sum.digest('hex').slice(0, 16)}`);
}

/** Throws where Go is not here, or cannot build it. */
async function build(binary) {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0)
    throw new Error('go is not on the PATH: install Go 1.24 or later');
  const listed = spawnSync('go', ['list', '-deps', '.'], { cwd: sources, encoding: 'utf8' });
  if (listed.status !== 0) throw new Error(`the modules could not be had:\n${listed.stderr}`);
  const total = listed.stdout.trim().split('\n').length;
  const version = /k8s\.io\/kubernetes v(1\.(\d+)\.\d+)/.exec(readFileSync(join(sources, 'go.mod'), 'utf8'));
  const named = `k8s.io/component-base/version`;
  const flags = `-s -w -X ${named}.gitVersion=v${version[1]} -X ${named}.gitMajor=1 -X ${named}.gitMinor=${version[2]}`;
  mkdirSync(join(binary, '..'), { recursive: true });
  const making = `${binary}.${process.pid}`;
  const go = spawn('go', ['build', '-v', '-trimpath', '-ldflags', flags, '-o', making, '.'], {
    cwd: sources,
    env: { ...process.env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const last = [];
  let compiled = 0;
  for await (const line of createInterface({ input: go.stderr })) {
    last.push(line);
    if (last.length > 20) last.shift();
    compiled += 1;
    if (compiled % 100 === 0) console.log(`compiled ${compiled} packages of ${total} at most: ${line}`);
  }
  const code = go.exitCode ?? (await new Promise((resolve) => go.once('close', resolve)));
  if (code !== 0) throw new Error(`go build failed:\n${last.join('\n')}`);
  // Whole, or not there.
  renameSync(making, binary);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const binary = clusterBinary();
  const there = existsSync(binary);
  if (process.argv.includes('--check')) process.exit(there ? 0 : 1);
  if (!there) {
    console.log(`building ${binary}; the first time this takes 15 to 25 minutes`);
    await build(binary);
  }
  console.log(binary);
}
