import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { createEngine } from '#engine';
import { Compiler, findOpa, keepPolicy, type KeeperOptions, openSource, type PolicyEvent } from '../bundles/index.js';
import { Base, Upper } from '../gateway/layers.js';
import { opalInstalled, startOpal, untilTrue } from './opal.js';

/**
 * From a commit to its being in force, tests included, for a repository of 50 files with as many tests, of which each commit
 * changes a rule and the data; beside it, in the same run, OPA that polls a bundle server every second (its default is 60 to
 * 120), to which the same commit is built, and, where `opal-server` and `opal-client` are on the path (`uv pip install
 * opal-server opal-client`), OPAL that is told of each commit by webhook. Both test the commit first, as Sallyport does.
 * Processor time is that of this process and all it started and ended (so not OPA's and OPAL's own). Then the same for two
 * layers, the organisation's base and a team's policy of as many files each: commits to the one and the other in turn.
 *
 *   npm run bench:commits -- 200
 */
const commits = Number(process.argv[2] ?? 200);
const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'));
const repository = path.join(folder, 'policy');
const opa = await findOpa();

function git(at: string, ...args: string[]): string {
  const who = ['-c', 'user.name=bench', '-c', 'user.email=bench@example.com', '-c', 'commit.gpgsign=false'];
  return execFileSync('git', [...who, ...args], { cwd: at, encoding: 'utf8' }).trim();
}

function make(at: string): void {
  mkdirSync(at);
  git(at, 'init', '-q', '-b', 'main');
  for (let number = 0; number < 50; number++) {
    const code = `rule_${number}`;
    writeFileSync(path.join(at, `${code}.rego`), `package policy.postgres\n\nallow contains {"code": "${code}"} if input.principal.subject == "agent:${number}"\n`); // prettier-ignore
    writeFileSync(path.join(at, `${code}_test.rego`), `package policy.${code}_test\n\nimport data.policy.postgres\n\ntest_it if postgres.allow[{"code": "${code}"}] with input as {"principal": {"subject": "agent:${number}"}}\n`); // prettier-ignore
  }
  change(at, 0);
}
function change(at: string, number: number): void {
  const code = `rule_${number % 50}`;
  writeFileSync(path.join(at, `${code}.rego`), `package policy.postgres\n\nallow contains {"code": "${code}"} if input.principal.subject in {"agent:${number % 50}", "agent:at-${number}"}\n`); // prettier-ignore
  writeFileSync(path.join(at, 'data.yaml'), `version: ${number}\n`);
  git(at, 'add', '-A');
  git(at, 'commit', '-q', '-m', `number ${number}`);
}
make(repository);

interface Took {
  readonly wall_ms: number;
  /** Of this process and of what it started and ended. */
  readonly processor_ms: number;
}

/** utime, stime, cutime and cstime of proc(5), in hundredths of a second. */
function processor_ms(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

async function timed(work: () => Promise<void>): Promise<Took> {
  const [started, used] = [performance.now(), processor_ms()];
  await work();
  return { wall_ms: performance.now() - started, processor_ms: processor_ms() - used };
}

function summary(took: Took[]): string {
  const sorted = took.map(({ wall_ms }) => wall_ms).sort((one, other) => one - other);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  const processor = Math.round(took.reduce((sum, one) => sum + one.processor_ms, 0) / took.length);
  const within_1s = sorted.filter((one) => one <= 1_000).length;
  return JSON.stringify({ commits: sorted.length, p50_ms: at(0.5), p99_ms: at(0.99), within_1s, processor_ms: processor, load: loadavg()[0] }); // prettier-ignore
}

/** Keeps the policy of a repository in force; `enforced` makes a commit there and gives how long it took. */
async function keep(at: string, engine: KeeperOptions['engine']) {
  let told: (event: PolicyEvent) => void = () => undefined;
  const silent = { info: () => undefined, warn: () => undefined, error: console.error };
  const keeper = await keepPolicy({
    ...{ source: openSource({ git: { url: at } }), engine, log: silent },
    ...{ directory: mkdtempSync(path.join(folder, 'state-')), compiler: await Compiler.create({ opa }) },
    onEvent: (event) => told(event),
  });
  const enforced = async (number: number): Promise<Took> => {
    const inForce = new Promise<void>((resolve, reject) => {
      told = (event) => (event.type === 'activated' ? resolve() : reject(new Error(JSON.stringify(event))));
    });
    change(at, number);
    return timed(() => inForce);
  };
  return { enforced, close: () => keeper.close() };
}

async function sallyport(): Promise<Took[]> {
  const kept = await keep(repository, createEngine());
  const took: Took[] = [];
  for (let number = 1; number <= commits; number++) took.push(await kept.enforced(number));
  await kept.close();
  return took;
}

/** The base's commits, and the team's: what judges is both, together again after each. */
async function layers(): Promise<{ base: Took[]; team: Took[] }> {
  const teamRepository = path.join(folder, 'team');
  make(teamRepository);
  const engine = createEngine();
  const lower = new Base();
  const upper = new Upper(engine, lower);
  const [base, team] = [await keep(repository, lower), await keep(teamRepository, upper)];
  const took: { base: Took[]; team: Took[] } = { base: [], team: [] };
  for (let number = 1; number <= commits; number += 2) {
    const before = engine.current;
    took.base.push(await base.enforced(3 * commits + number));
    if (engine.current === before) throw new Error("the base's commit changed nothing in what judges");
    took.team.push(await team.enforced(number));
  }
  await Promise.all([base.close(), team.close()]);
  return took;
}

async function polling(): Promise<Took[]> {
  const bundle = path.join(folder, 'bundle.tar.gz');
  const build = () => execFileSync(opa, ['build', '-b', repository, '-o', bundle]);
  build();
  let etag = 0;
  const server = createServer((request, response) => {
    if (request.headers['if-none-match'] === String(etag)) return response.writeHead(304).end();
    return response
      .writeHead(200, { etag: String(etag), 'content-type': 'application/gzip' })
      .end(readFileSync(bundle));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as AddressInfo;
  const socket = path.join(folder, 'opa.sock');
  const settings = { 'services.s.url': `http://127.0.0.1:${port}`, 'bundles.b.service': 's', 'bundles.b.resource': 'b', 'bundles.b.polling.min_delay_seconds': 1, 'bundles.b.polling.max_delay_seconds': 1 }; // prettier-ignore
  const child = spawn(opa, ['run', '--server', '--addr', `unix://${socket}`, ...Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])], { stdio: 'ignore' }); // prettier-ignore
  const version = async (): Promise<unknown> => {
    const { request } = await import('node:http');
    return new Promise((resolve) => {
      const call = request({ socketPath: socket, path: '/v1/data/version' }, (answer) => {
        let text = '';
        answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
        answer.on('end', () => resolve((JSON.parse(text) as { result?: unknown }).result));
      });
      call.on('error', () => resolve(undefined));
      call.end();
    });
  };
  const until = async (wanted: number) => {
    while ((await version()) !== wanted) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  const took: Took[] = [];
  try {
    await until(commits);
    for (let number = commits + 1; number <= 2 * commits; number++) {
      change(repository, number);
      const one = await timed(async () => {
        execFileSync(opa, ['test', repository]);
        build();
        etag += 1;
        await until(number);
      });
      took.push(one);
    }
  } finally {
    child.kill();
    server.closeAllConnections();
    server.close();
  }
  return took;
}

/** Told by webhook, which is the fastest way OPAL has. */
async function opal(): Promise<Took[]> {
  const peer = await startOpal({ folder, repository, opa });
  const took: Took[] = [];
  try {
    for (let number = 2 * commits + 1; number <= 3 * commits; number++) {
      change(repository, number);
      const one = await timed(async () => {
        execFileSync(opa, ['test', repository]);
        await peer.pushed();
        await untilTrue(() => peer.allows(`agent:at-${number}`));
      });
      took.push(one);
    }
  } finally {
    await peer.close();
  }
  return took;
}

try {
  console.log('sallyport', summary(await sallyport()));
  console.log('opa, polling each second', summary(await polling()));
  if (opalInstalled()) console.log('opal, told by webhook', summary(await opal()));
  else console.log('opal is not installed: opal-server and opal-client are not on the path');
  const { base, team } = await layers();
  console.log('sallyport, of the base', summary(base));
  console.log('sallyport, of the team', summary(team));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
