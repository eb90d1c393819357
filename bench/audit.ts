/**
 * What a record costs: how long an operation waits until its intent is on disk, and the processor time of the record, by how many
 * operations are under way at once (they share one write and one flush). The chain, its salts and its signatures are on.
 *
 *   npm run bench:audit [-- --records N] [--folder FOLDER]
 *
 * FOLDER is where the log is written: put it on the disk that is meant. Wall time is the disk's, processor time the gateway's.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { fileHeadStore, openAudit, openSigner, verifyAudit, type Audit } from '../gateway/audit/index.js';

const { values } = parseArgs({
  options: { records: { type: 'string', default: '50000' }, folder: { type: 'string', default: tmpdir() } },
});
const records = Number(values.records);

const entry = (id: number) =>
  ({
    kind: 'intent',
    fields: {
      decision_id: `d-${id}`,
      session_id: 's',
      target: 'orders',
      protocol: 'postgres',
      action: 'write',
      resources: [{ type: 'column', name: 'app.customers.email', access: 'update', use: 'write' }],
      result: { outcome: 'allow', reasons: [{ code: 'writes', rule: 'policy.postgres' }] },
    },
    personal: {
      principal: { subject: 'agent:billing-bot', issuer: 'https://idp.example', purpose: 'month-end report' },
      operation: { statement: `update app.customers set region = 'EU' where id = ${id}`, parameters: [] },
    },
  }) as const;

interface Row {
  readonly at_once: string;
  readonly per_s: number;
  readonly processor_us: string;
  readonly wait_us_p50: string;
  readonly wait_us_p99: string;
}

async function measured(durable: boolean, at_once: number): Promise<Row> {
  const folder = mkdtempSync(path.join(values.folder, 'sallyport-bench-'));
  try {
    const file = path.join(folder, 'audit.jsonl');
    const seal = { signer: await openSigner({ directory: folder }), heads: fileHeadStore(folder) };
    const audit = await openAudit({ sinks: [{ file }], durability: 'disk', seal });
    const waits_us: number[] = [];
    const before = process.cpuUsage();
    const started = performance.now();
    await (durable ? waited(audit, at_once, waits_us) : unwaited(audit));
    await audit.close();
    const seconds = (performance.now() - started) / 1_000;
    const { user, system } = process.cpuUsage(before);
    const sorted = waits_us.sort((a, b) => a - b);
    const share = (part: number) => sorted[Math.floor((sorted.length - 1) * part)]?.toFixed(0) ?? '';
    return {
      at_once: durable ? String(at_once) : 'not waited for',
      per_s: Math.round(records / seconds),
      processor_us: ((user + system) / records).toFixed(1),
      wait_us_p50: share(0.5),
      wait_us_p99: share(0.99),
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function waited(audit: Audit, at_once: number, waits_us: number[]): Promise<void> {
  let next = 0;
  const operate = async () => {
    while (next < records) {
      next += 1;
      const started = performance.now();
      await audit.write(entry(next), { durable: true });
      waits_us.push((performance.now() - started) * 1_000);
    }
  };
  await Promise.all(Array.from({ length: at_once }, operate));
}

async function unwaited(audit: Audit): Promise<void> {
  for (let id = 1; id <= records; id += 1) {
    audit.write(entry(id));
    if (id % 64 === 0) await new Promise(setImmediate);
  }
}

async function verified(): Promise<string> {
  const folder = mkdtempSync(path.join(values.folder, 'sallyport-bench-'));
  try {
    const file = path.join(folder, 'audit.jsonl');
    const heads = fileHeadStore(folder);
    const audit = await openAudit({
      sinks: [{ file }],
      durability: 'memory',
      seal: { signer: await openSigner({ directory: folder }), heads },
    });
    await unwaited(audit);
    await audit.close();
    const before = process.cpuUsage();
    const { count } = await verifyAudit([file], { keys: [], ledger: await heads.read() });
    if (count > 0) throw new Error(`verification found ${count} things in a log that nobody changed`);
    const { user, system } = process.cpuUsage(before);
    return `verified: ${Math.round((records * 1e6) / (user + system))} records for each second of processor time`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const rows = [await measured(false, 1)];
for (const at_once of [1, 16, 64, 256]) rows.push(await measured(true, at_once));
console.table(rows);
console.log(await verified());
