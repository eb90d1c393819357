import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createEngine } from '#engine';
import { Compiler, findOpa, keepPolicy, openSource, type PolicyEvent } from '../bundles/index.js';

/**
 * From a commit to its being in force, tests included, for a repository of 50 files with as many tests; beside it, in the
 * same run, OPA that polls a bundle server every second (its default is 60 to 120), to which the same commit is built.
 *
 *   npm run bench:commits -- 200
 */
const commits = Number(process.argv[2] ?? 200);
const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'));
const repository = path.join(folder, 'policy');
const opa = await findOpa();

function git(...args: string[]): string {
  const who = ['-c', 'user.name=bench', '-c', 'user.email=bench@example.com', '-c', 'commit.gpgsign=false'];
  return execFileSync('git', [...who, ...args], { cwd: repository, encoding: 'utf8' }).trim();
}

mkdirSync(repository);
git('init', '-q', '-b', 'main');
for (let number = 0; number < 50; number++) {
  const code = `rule_${number}`;
  writeFileSync(path.join(repository, `${code}.rego`), `package policy.postgres\n\nallow contains {"code": "${code}"} if input.principal.subject == "agent:${number}"\n`); // prettier-ignore
  writeFileSync(path.join(repository, `${code}_test.rego`), `package policy.${code}_test\n\nimport data.policy.postgres\n\ntest_it if postgres.allow[{"code": "${code}"}] with input as {"principal": {"subject": "agent:${number}"}}\n`); // prettier-ignore
}
const change = (number: number): void => {
  writeFileSync(path.join(repository, 'data.yaml'), `version: ${number}\n`);
  git('add', '-A');
  git('commit', '-q', '-m', `number ${number}`);
};
change(0);

const summary = (took_ms: number[]): object => {
  const sorted = [...took_ms].sort((one, other) => one - other);
  const at = (share: number) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0);
  return { commits: sorted.length, p50_ms: at(0.5), p99_ms: at(0.99) };
};

async function sallyport(): Promise<number[]> {
  let told: (event: PolicyEvent) => void = () => undefined;
  const silent = { info: () => undefined, warn: () => undefined, error: console.error };
  const keeper = await keepPolicy({
    ...{ source: openSource({ git: { url: repository } }), engine: createEngine(), log: silent },
    ...{ directory: path.join(folder, 'state'), compiler: await Compiler.create({ opa }) },
    onEvent: (event) => told(event),
  });
  const took_ms: number[] = [];
  for (let number = 1; number <= commits; number++) {
    const inForce = new Promise<void>((resolve, reject) => {
      told = (event) => (event.type === 'activated' ? resolve() : reject(new Error(JSON.stringify(event))));
    });
    change(number);
    const started = performance.now();
    await inForce;
    took_ms.push(performance.now() - started);
  }
  await keeper.close();
  return took_ms;
}

async function polling(): Promise<number[]> {
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
  const took_ms: number[] = [];
  try {
    await until(commits);
    for (let number = commits + 1; number <= 2 * commits; number++) {
      change(number);
      const started = performance.now();
      execFileSync(opa, ['test', repository]);
      build();
      etag += 1;
      await until(number);
      took_ms.push(performance.now() - started);
    }
  } finally {
    child.kill();
    server.closeAllConnections();
    server.close();
  }
  return took_ms;
}

try {
  console.log('sallyport', JSON.stringify(summary(await sallyport())));
  console.log('opa, polling each second', JSON.stringify(summary(await polling())));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
