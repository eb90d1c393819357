/**
 * What a decision costs: processor time, not wall time, of this process.
 *
 *   npm run build && node --import ./bench/typescript.mjs bench/engine.ts [--json]
 *
 * The policy is the shipped entry point with the starter policy, over a catalog of 200 classified columns; the operation
 * reads six columns of one table. Each figure is the best of several rounds, because on a shared machine only the best
 * says something of the program.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { readTar } from '../bundles/tar.js';
import { createEngine, engineDefaults, noUsage, type Input, type Layer } from '#engine';

const rounds = 15;

interface Figure {
  readonly what: string;
  readonly microseconds: number;
  readonly target?: number;
}

/**
 * Processor time of one call of each in microseconds, the best of all rounds. They take turns, so that a machine that is
 * busy for a while is busy for all of them.
 */
function measure(calls: number, ...subjects: readonly (() => void)[]): number[] {
  const best = subjects.map(() => Infinity);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, subject] of subjects.entries()) {
      const start = process.cpuUsage();
      for (let call = 0; call < calls; call++) subject();
      const { user, system } = process.cpuUsage(start);
      // The first round warms.
      if (round > 0) best[index] = Math.min(best[index]!, (user + system) / calls);
    }
  }
  return best;
}

function compile(sources: readonly string[]): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  try {
    const bundle = join(folder, 'bundle.tar.gz');
    const opa = process.env['SALLYPORT_OPA'] ?? 'opa';
    execFileSync(opa, [
      'build',
      '-t',
      'wasm',
      '-O0',
      '-e',
      'sallyport/decision',
      '--ignore',
      '*_test.rego,*.yaml,*.json',
      '-o',
      bundle,
      ...sources,
    ]);
    const wasm = readTar(gunzipSync(readFileSync(bundle))).get('policy.wasm');
    if (wasm === undefined) throw new Error('the compiler wrote no policy.wasm');
    return wasm;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const columns = Array.from({ length: 200 }, (_, index) => `app.table_${String(index % 20)}.column_${String(index)}`);
const data = {
  masks: { contact: 'partial', identity: 'redact' },
  classification: {
    orders: Object.fromEntries(columns.map((name, index) => [name, index % 2 === 0 ? 'contact' : 'identity'])),
  },
};

function layerOf(wasm: Uint8Array, reads: readonly string[]): Layer {
  const manifest = {
    name: 'bench',
    format: 1 as const,
    rules: [],
    reads: { postgres: reads },
    packages: ['all', 'postgres'],
    builtins: [],
  };
  return { manifest, wasm, data };
}

/** Frozen to the leaves, as a protocol keeps what it knows of a statement's template. */
function template<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) template(part as object);
  return Object.freeze(value);
}

function templates(count: number): readonly Pick<Input['operation'], 'resources' | 'postgres'>[] {
  return Array.from({ length: count }, (_, index) => {
    const table = `app.table_${String(index % 20)}`;
    const names = [
      table,
      `${table}.id`,
      ...[0, 20, 40, 60, 80].map((step) => `${table}.column_${String(step + (index % 20))}`),
    ];
    const resources = template(
      names.map((name, at) => ({
        type: at === 0 ? 'relation' : 'column',
        name,
        access: 'read' as const,
        ...(at === 0 ? {} : { use: 'output' as const }),
      })),
    );
    const statements = template([
      { kind: 'select', action: 'read', opaque: false, bounded: true, fingerprint: index.toString(16).padStart(32, '0'),
        relations: [{ name: table, access: 'read', type: 'table' }],
        columns: names.slice(1).map((name) => ({ name, use: 'output', access: 'read' })), functions: [], settings: [], unresolved: [] },
    ]); // prettier-ignore
    return { resources, postgres: { statement: `select * from ${table}`, statements, database: 'shop', user: 'app' } };
  });
}

const principal = template({
  subject: 'agent:billing-bot', issuer: 'https://idp.example', kind: 'agent' as const, groups: ['agents', 'billing'],
  roles: ['readonly'], purpose: 'month-end report', attributes: { team: 'finance' }, token: { expires: '2026-11-22T10:00:00.000Z' },
}); // prettier-ignore
const target = template({ name: 'orders', protocol: 'postgres', labels: { environment: 'production' } });
const known = templates(500);
let operations = 0;

function nextInput(): Input {
  operations += 1;
  const { resources, postgres } = known[operations % known.length]!;
  return {
    version: 1,
    time: '2026-11-22T09:00:00.000Z',
    principal,
    session: {
      id: 's1',
      started: '2026-11-22T08:59:00.000Z',
      client: { address: '127.0.0.1' },
      transaction: 'idle',
      rows: operations,
      taint: [],
    },
    target,
    operation: {
      stage: 'execute',
      action: 'read',
      resources,
      opaque: false,
      hash: operations.toString(16).padStart(64, '0'),
      postgres,
    },
    usage: { ...noUsage, operations: { minute: operations, day: operations }, rows: { day: operations } },
  };
}

const root = new URL('..', import.meta.url).pathname;
const wasm = compile([join(root, 'rego/sallyport'), join(root, 'rego/policy')]);
const reads = [
  'operation.action',
  'operation.opaque',
  'operation.resources',
  'operation.postgres.statements',
  'principal.groups',
  'principal.roles',
  'principal.purpose',
  'target.labels',
];

const judge = async (options: Parameters<typeof createEngine>[0], read = reads) => {
  const engine = createEngine(options);
  engine.activate(await engine.prepare('bench', [layerOf(wasm, read)]));
  return engine;
};
const evaluated = await judge({ cache_entries_max: 0 });
const unmetered = await judge({ cache_entries_max: 0, fuel_max: 0 });
const cached = await judge({});
const { outcome, masks } = evaluated.decide(nextInput());

const loose = await judge({});
/** The same operation from a protocol that freezes nothing. */
const thaw = (input: Input): Input => ({
  ...input,
  operation: {
    ...input.operation,
    resources: [...input.operation.resources],
    postgres: { ...(input.operation['postgres'] as object) },
  },
});

const [building, thawing] = measure(20_000, nextInput, () => void thaw(nextInput())) as [number, number];
const [metered, unmeteredTotal] = measure(
  1_000,
  () => void evaluated.decide(nextInput()),
  () => void unmetered.decide(nextInput()),
) as [number, number];
const [remembered, rememberedLoose] = measure(
  50_000,
  () => void cached.decide(nextInput()),
  () => void loose.decide(thaw(nextInput())),
) as [number, number];
const evaluation = metered - building;
const bare = unmeteredTotal - building;
const figures: readonly Figure[] = [
  { what: 'evaluated', microseconds: evaluation, target: 150 },
  { what: 'evaluated, without the fuel counter', microseconds: bare },
  { what: 'cached, 500 templates', microseconds: remembered - building, target: 5 },
  { what: 'cached, resources not frozen', microseconds: rememberedLoose - thawing },
];

if (process.argv.includes('--json')) console.log(JSON.stringify({ outcome, figures, fuelRatio: evaluation / bare }));
else {
  console.log(`${outcome}, ${String(masks.length)} masks; fuel at most ${String(engineDefaults.fuel_max)}`);
  for (const { what, microseconds, target: goal } of figures)
    console.log(
      `${microseconds.toFixed(2).padStart(9)} µs  ${what}${goal === undefined ? '' : ` (to reach: ${String(goal)})`}`,
    );
  console.log(`${(evaluation / bare).toFixed(2).padStart(9)}     with the counter over without`);
}
