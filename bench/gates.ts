/**
 * What the gateway costs on the way to an API, an API server of Kubernetes, a registry and an MCP server, side by side with the server
 * alone and with a plain proxy in Node; nginx and haproxy take part where they are installed. Clients come with TLS to all of them. All
 * take turns in one run, so that a busy machine is busy for all of them; what counts is the processor time of the proxy's process, and
 * of that the ratio. Of the server alone it is that of its own process, which ends TLS there.
 *
 *   npm run bench:gates [-- --quick] [--json] [--only http,kubernetes,registry,mcp] [--against FOLDER]
 *
 * `--against` puts the gateway of another checkout (built) beside this one, to see what a change is worth.
 */
import { cpus, loadavg } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { asks, protocols, type Ask } from './gates/asked.js';
import { figures, table, type Row } from './gates/report.js';
import { makeWorld, type Client, type Subject } from './gates/world.js';
import { processorTime, usageOf } from './postgres/usage.js';
import type { Sample } from './postgres/measures.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    against: { type: 'string' },
  },
});
const wanted = new Set<string>(options.only?.split(',') ?? protocols);
for (const name of wanted) {
  if ((protocols as readonly string[]).includes(name)) continue;
  console.error(`bench: there is no gate called ${name}; known are ${protocols.join(', ')}`);
  process.exit(2);
}
const size = options.quick ? { rounds: 2, requests: 800, clients: 8 } : { rounds: 5, requests: 2_000, clients: 8 };
const say = (line: string) => {
  if (!options.json) console.error(line);
};

/** Each client asks when it was answered, `size.requests` in all. */
async function measure({ pid = 0, name }: Subject, ask: Ask, clients: readonly Client[]): Promise<Sample> {
  const taken: number[] = [];
  let next = 0;
  const before = processorTime(pid);
  const started = performance.now();
  const work = async ({ client, bytes }: Client) => {
    while (next < size.requests) {
      const request = bytes(next++);
      const begun = performance.now();
      const { status, head, body } = await client.ask(request);
      taken.push(performance.now() - begun);
      if (status !== ask.status) throw new Error(`${name} answered ${ask.what} with ${head}\n${body.toString()}`);
      if (ask.masked !== undefined && name.startsWith('gateway') && body.includes(ask.masked))
        throw new Error(`${name} masked nothing of ${ask.what}`);
    }
  };
  await Promise.all(clients.map(work));
  const seconds = (performance.now() - started) / 1_000;
  const after = processorTime(pid);
  taken.sort((one, other) => one - other);
  const each = (one: number, other: number) => (other - one) / size.requests;
  return {
    user_us: each(before.user_us, after.user_us),
    system_us: each(before.system_us, after.system_us),
    p50_ms: taken[Math.floor(taken.length * 0.5)] ?? Number.NaN,
    p99_ms: taken[Math.floor(taken.length * 0.99)] ?? Number.NaN,
    rate: size.requests / seconds,
  };
}

/** Rounds in turns, each beginning with another subject; the first one warms and is not counted. */
async function rounds(subjects: readonly Subject[], ask: Ask): Promise<Row[]> {
  const samples = new Map<Subject, Sample[]>(subjects.map((subject) => [subject, []]));
  const opened = new Map<Subject, Client[]>();
  for (const subject of subjects) {
    const clients: Client[] = [];
    for (let at = 0; at < size.clients; at++) clients.push(await subject.open(ask, at));
    opened.set(subject, clients);
  }
  for (let round = 0; round <= size.rounds; round++) {
    // Nobody always comes right behind the same one: of two equal gateways the second came off better by a tenth.
    const order = round % 2 === 0 ? subjects : subjects.toReversed();
    for (let turn = 0; turn < order.length; turn++) {
      const subject = order[(turn + round) % order.length]!;
      const sample = await measure(subject, ask, opened.get(subject)!);
      if (round > 0) samples.get(subject)!.push(sample);
    }
  }
  say(`  ${ask.protocol}: ${ask.what}`);
  for (const { client } of [...opened.values()].flat()) client.close();
  return [...samples].map(([{ name }, taken]) => ({
    what: `${ask.protocol}, ${ask.what}`,
    subject: name,
    samples: taken,
  }));
}

if (usageOf(process.pid) === undefined)
  say('Processor time is read from /proc, which this system has not: only wall time is measured.');
const load_before = loadavg()[0]!;
const world = await makeWorld(options.against === undefined ? undefined : resolve(options.against));
try {
  const rows: Row[] = [];
  for (const ask of asks) if (wanted.has(ask.protocol)) rows.push(...(await rounds(world.subjects, ask)));
  const found = figures(rows);
  const machine = { processor: cpus()[0]?.model ?? 'unknown', processors: cpus().length, node: process.version };
  const load = [load_before, loadavg()[0]!];
  if (options.json) console.log(JSON.stringify({ machine, load, size, figures: found, rows }));
  else {
    const between = load.map((one) => one.toFixed(1)).join(' to ');
    console.log(`${String(machine.processors)} × ${machine.processor}, Node ${machine.node}; load ${between}\n`);
    console.log(table(found));
  }
} finally {
  await world.stop();
}
