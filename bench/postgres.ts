/**
 * What the gateway costs on the way to Postgres, side by side with the server alone, with pgbouncer in session mode (where
 * it is installed), and with a relay that only finds frames. All take turns in one run, so that a busy machine is busy for
 * all of them; what counts is the processor time of the proxy's process, and of that the ratio.
 *
 *   npm run bench [-- --quick] [--json] [--only simple,result,…] [--against FOLDER]
 *
 * `--against` puts the gateway of another checkout (built) beside this one, to see what a change is worth.
 */
import { cpus } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  connect,
  connections,
  idleSession,
  modes,
  newStatements,
  result,
  statements,
  type Sample,
} from './postgres/measures.js';
import { masking, maskingLines, maskedPolicy, type MaskingSubjects } from './postgres/masking.js';
import { patternLine, patternPolicy, patternQuery, patternRows, type PatternSubjects } from './postgres/patterns.js';
import { figures, table, type Row } from './postgres/report.js';
import { usageOf } from './postgres/usage.js';
import { database, makeWorld, type Subject } from './postgres/world.js';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    against: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const kinds = [...modes, 'new', 'result', 'masking', 'patterns', 'connect', 'idle'] as const;
if (options.help) {
  console.log(`npm run bench [-- --quick] [--json] [--only ${kinds.join(',')}] [--against FOLDER]`);
  process.exit(0);
}
const wanted = new Set<string>(options.only?.split(',') ?? kinds);
for (const name of wanted) {
  if ((kinds as readonly string[]).includes(name)) continue;
  console.error(`bench: there is nothing called ${name}; known are ${kinds.join(', ')}`);
  process.exit(2);
}

const size = options.quick
  ? { rounds: 2, statements: 2_000, fresh: 300, results: 1, connections: 40, idle: 100 }
  : { rounds: 5, statements: 4_000, fresh: 600, results: 1, connections: 100, idle: 500 };

const say = (line: string) => {
  if (!options.json) console.error(line);
};

if (usageOf(process.pid) === undefined)
  say('Processor time is read from /proc, which this system has not: only wall time is measured.');
say('Starting Postgres, the proxies and the gateways …');
const world = await makeWorld(size.idle + 100);
try {
  if (world.pgbouncer === undefined) say('pgbouncer is not installed: left out.');
  const gateway = await world.gateway('gateway', 'by_action');
  const { against } = options;
  const others =
    against === undefined
      ? [
          await world.gateway('gateway, audit in memory', 'memory'),
          await world.gateway('gateway, audit on disk', 'disk'),
        ]
      : [];
  const subjects = [
    world.direct,
    ...(world.pgbouncer === undefined ? [] : [world.pgbouncer]),
    world.relay,
    gateway,
    ...(against === undefined ? [] : [await world.gateway(`gateway of ${against}`, 'by_action', resolve(against))]),
  ];
  const rows: Row[] = [];

  /** Rounds in turns, each beginning with another subject; the first round warms and is not counted. */
  const rotate = async (
    what: string,
    unit: string,
    among: readonly Subject[],
    rounds: number,
    once: (subject: Subject) => Promise<Sample>,
  ) => {
    const samples = new Map<Subject, Sample[]>(among.map((subject) => [subject, []]));
    for (let round = 0; round <= rounds; round++) {
      for (let turn = 0; turn < among.length; turn++) {
        const subject = among[(turn + round) % among.length]!;
        const sample = await once(subject);
        if (round > 0) samples.get(subject)!.push(sample);
      }
      say(`  ${what}: round ${String(round)} of ${String(rounds)}`);
    }
    for (const [subject, taken] of samples) rows.push({ what, unit, subject: subject.name, samples: taken });
  };

  for (const mode of modes) {
    if (!wanted.has(mode)) continue;
    const among = [...subjects, ...others];
    const opened = new Map<Subject, Awaited<ReturnType<typeof connect>>>();
    for (const subject of among) opened.set(subject, await connect(subject, mode));
    await rotate(mode, 'statement', among, size.rounds, (subject) =>
      statements(subject, opened.get(subject)!, mode, size.statements),
    );
    for (const clients of opened.values()) await Promise.all(clients.map((client) => client.close()));
  }
  if (wanted.has('new')) {
    const opened = new Map<Subject, Awaited<ReturnType<typeof connect>>>();
    for (const subject of subjects) opened.set(subject, await connect(subject, undefined));
    await rotate('new texts', 'statement', subjects, size.rounds, (subject) =>
      newStatements(subject, opened.get(subject)!, size.fresh),
    );
    for (const clients of opened.values()) await Promise.all(clients.map((client) => client.close()));
  }
  if (wanted.has('result')) {
    await rotate('100 000 rows', 'MB', subjects, size.rounds, (subject) => result(subject, size.results));
  }
  let masked: MaskingSubjects | undefined;
  if (wanted.has('masking')) {
    const on = await world.gateway('gateway, masks on', 'by_action', undefined, maskedPolicy(database));
    const off = await world.gateway('gateway, masks off', 'by_action');
    masked = { direct: world.direct, clear: off, masked: on };
    await masking(masked, size, rotate);
  }
  let searched: PatternSubjects | undefined;
  if (wanted.has('patterns')) {
    const on = await world.gateway('gateway, patterns on', 'by_action', undefined, patternPolicy);
    const off = await world.gateway('gateway, patterns off', 'by_action');
    searched = { direct: world.direct, off, on };
    await rotate(patternRows, 'MB', [world.direct, off, on], size.rounds, (subject) =>
      result(subject, size.results, patternQuery),
    );
  }
  if (wanted.has('connect')) {
    await rotate('connection', 'connection', subjects, size.rounds, (subject) =>
      connections(subject, size.connections),
    );
  }
  const idle: { subject: string; bytes: number }[] = [];
  if (wanted.has('idle')) {
    // Each gateway so far has a history; an idle session is measured on one that has none.
    const young = await world.gateway('gateway', 'by_action');
    for (const subject of [...(world.pgbouncer === undefined ? [] : [world.pgbouncer]), young]) {
      idle.push({ subject: subject.name, bytes: await idleSession(subject, size.idle) });
      say(`  memory of ${String(size.idle)} idle sessions: ${subject.name}`);
    }
  }

  const found = figures(rows);
  const processor = cpus()[0]?.model ?? 'unknown';
  if (options.json) {
    console.log(
      JSON.stringify({
        machine: { processor, processors: cpus().length, ...world.versions },
        size,
        figures: found,
        rows,
        idle,
      }),
    );
  } else {
    const versions = Object.entries(world.versions).map(([name, version]) => `${name} ${version}`);
    console.log(`${String(cpus().length)} × ${processor}; ${versions.join(', ')}\n`);
    if (found.length > 0) console.log(table(found));
    for (const line of masked === undefined ? [] : maskingLines(rows, masked)) console.log(`\n${line}`);
    if (searched !== undefined) console.log(`\n${patternLine(rows, searched)}`);
    for (const { subject, bytes } of idle) console.log(`\nidle session, ${subject}: ${(bytes / 1024).toFixed(1)} KiB`);
  }
} finally {
  await world.stop();
}
