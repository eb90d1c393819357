/**
 * `sallyport replay` over many recorded operations, in one command: the starter policy, a commit that drops the masks and lets
 * readers write, and records as the gateway makes them (the chain, salts and signatures on).
 *
 *   npm run bench:replay [-- OPERATIONS]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createEngine, type Input } from '#engine';
import { parse } from 'yaml';
import { Compiler, DirectorySource, findOpa } from '../bundles/index.js';
import { fileHeadStore, openAudit, openSigner } from '../gateway/audit/index.js';
import { SessionRecords } from '../gateway/pipeline/records.js';

const operations = Number(process.argv[2] ?? 100_000);
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-bench-'));
const repository = path.join(folder, 'policy');
const file = path.join(folder, 'audit.jsonl');
const git = (...args: string[]) => execFileSync('git', ['-c', 'user.name=bench', '-c', 'user.email=bench@example.com', '-c', 'commit.gpgsign=false', ...args], { cwd: repository, encoding: 'utf8' }); // prettier-ignore

/** The document of the starter policy's own cases; every operation has its own statement, and one in ten writes. */
const given = (parse(readFileSync(path.join(root, 'rego/cases/postgres/starter.yaml'), 'utf8')) as { given: Input }).given; // prettier-ignore
const statements = (given.operation['postgres'] as { statements: object[] }).statements[0];
function operation(id: number): Input {
  const writes = id % 10 === 0;
  const hash = id.toString(16).padStart(64, '0');
  const statement = writes ? `insert into app.orders (id) values (${id})` : `select id, email from app.customers where id = ${id}`; // prettier-ignore
  const own = { ...(given.operation['postgres'] as object), statement, statements: [{ ...statements, ...(writes ? { kind: 'insert', action: 'write' } : {}) }] }; // prettier-ignore
  const written = { action: 'write', resources: [{ type: 'relation', name: 'app.orders', access: 'insert' }] } as const;
  return {
    ...given,
    principal: { ...given.principal, subject: `agent:${id % 50}` },
    operation: { ...given.operation, hash, ...(writes ? written : {}), postgres: own },
  };
}

/** As the gateway does, some hundreds at once. */
async function record(): Promise<void> {
  const compiler = await Compiler.create({ opa: await findOpa() });
  const { layer } = await compiler.check(await new DirectorySource(repository).read());
  const revision = await createEngine().prepare('git:bench', [layer]);
  const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
  const audit = await openAudit({ sinks: [{ file }], durability: 'disk', ...seal });
  for (let id = 0; id < operations;) {
    const batch: Promise<unknown>[] = [];
    for (; id < operations && batch.length < 500; id++) {
      const input = operation(id);
      const records = new SessionRecords(input.session.id, input.target, input.principal, input.session.client);
      const { hash } = input.operation;
      const entry = records.intent(input, revision.decide(input), { hash, own: input.operation['postgres'] });
      batch.push(audit.write(entry, { durable: true }));
    }
    await Promise.all(batch);
  }
  await audit.close();
}

try {
  cpSync(path.join(root, 'rego/policy'), repository, { recursive: true });
  const data = (column: string) => `masks: {contact: partial}\nclassification: {orders: {${column}: contact}}\n`;
  writeFileSync(path.join(repository, 'data.yaml'), data('app.customers.email'));
  git('init', '-q', '-b', 'main');
  git('add', '-A');
  git('commit', '-q', '-m', 'the starter policy');
  await record();
  writeFileSync(path.join(repository, 'data.yaml'), data('app.customers.phone'));
  appendFileSync(path.join(repository, 'postgres/allow.rego'), '\nallow contains {"code": "widened"} if input.operation.action == "write"\n'); // prettier-ignore
  git('commit', '-q', '-a', '-m', 'tidy up');
  const started = performance.now();
  const run = spawnSync(process.execPath, [path.join(root, 'bin/sallyport.js'), 'replay', 'HEAD~1..HEAD', '-d', repository, '--audit', file, '--json'], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 }); // prettier-ignore
  const whole_s = (performance.now() - started) / 1000;
  if (run.status !== 1) throw new Error(`what loosens was not found: exit code ${run.status}: ${run.stderr}`);
  const { tally, duration_ms } = JSON.parse(run.stdout) as { tally: { operations: number; changed: number; groups: { kind: string; count: number }[] }; duration_ms: number }; // prettier-ignore
  const kinds: Record<string, number> = {};
  for (const { kind, count } of tally.groups) kinds[kind] = (kinds[kind] ?? 0) + count;
  console.log({
    ...{ operations: tally.operations, changed: tally.changed, kinds },
    ...{ audit_mb: Math.round(statSync(file).size / 1e6), whole_s, judged_s: duration_ms / 1000 },
    ...{ a_second: Math.round((tally.operations * 1000) / duration_ms), cores: cpus().length, load: loadavg()[0] },
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}
