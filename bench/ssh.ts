/**
 * What the gateway costs on the way to a host over SSH, side by side with OpenSSH's server alone and with a relay that passes bytes
 * on unseen. The client is OpenSSH's. All take turns in one run, so that a busy machine is busy for all of them; what counts is the
 * ratio. Of the host itself the processor time is that of its own process, which encrypts once, where the gateway does twice.
 *
 *   npm run bench:ssh [-- --quick] [--json]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { processorTime } from './postgres/usage.js';
import { makeWorld, type Subject, type World } from './ssh/world.js';

const { values: options } = parseArgs({
  options: { quick: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } },
});
const size = options.quick ? { rounds: 3, mb: 50, commands: 5 } : { rounds: 7, mb: 300, commands: 20 };
const bytes = size.mb * 1_000_000;
/** USER_HZ, as in /proc/PID/stat. */
const tick_us = 10_000;

interface Sample {
  readonly seconds: number;
  readonly processor_us: number;
}

const totalOf = (pid: number) => {
  const { user_us, system_us } = processorTime(pid);
  return user_us + system_us;
};

/** The host's process is the parent of what it runs: it says last, on standard error, what it has used. */
const used = 'cat /proc/$PPID/stat >&2';

/** The processor time of a process by its line of /proc/PID/stat (proc(5)); NaN where there is none. */
function usedBy(line: string): number {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[14 - 3]) + Number(fields[15 - 3])) * tick_us;
}

interface Running {
  /** Seconds from its start to the first byte that it says. */
  readonly first: Promise<number>;
  /** What it said on standard error, at its end. */
  readonly ended: Promise<string>;
  write(chunk: Buffer): Promise<void>;
  end(): void;
}

/** One `ssh h COMMAND`. Rejects where it ends with another code than 0. */
function ssh({ environment }: World, { configuration }: Subject, more: readonly string[]): Running {
  const started = performance.now();
  const child = spawn('ssh', ['-F', configuration, ...more], { env: { ...process.env, ...environment } });
  child.stdin.on('error', () => undefined);
  let told = '';
  child.stderr.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const first = new Promise<number>((resolve) => {
    child.stdout.once('data', () => resolve((performance.now() - started) / 1_000));
  });
  child.stdout.resume();
  const ended = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`ssh ended with ${String(code)}: ${told}`);
    return told;
  });
  // Whoever waits for the first byte shall hear of the end where there is none.
  const begun = Promise.race([first, ended.then(() => first)]);
  begun.catch(() => undefined);
  return {
    first: begun,
    ended,
    write: async (chunk) => {
      if (!child.stdin.write(chunk)) await once(child.stdin, 'drain');
    },
    end: () => child.stdin.end(),
  };
}

async function timed(subject: Subject, move: () => Promise<{ seconds: number; host: string }>): Promise<Sample> {
  const before_us = subject.pid === undefined ? 0 : totalOf(subject.pid);
  const { seconds, host } = await move();
  return { seconds, processor_us: subject.pid === undefined ? usedBy(host) : totalOf(subject.pid) - before_us };
}

const back = (world: World, subject: Subject) =>
  timed(subject, async () => {
    const running = ssh(world, subject, ['-n', 'h', `head -c ${String(bytes)} /dev/zero; ${used}`]);
    await running.first;
    const started = performance.now();
    const host = await running.ended;
    return { seconds: (performance.now() - started) / 1_000, host };
  });

const there = (world: World, subject: Subject) =>
  timed(subject, async () => {
    const running = ssh(world, subject, ['h', `echo ready; cat >/dev/null; ${used}`]);
    await running.first;
    const started = performance.now();
    const chunk = Buffer.alloc(1_000_000);
    for (let mb = 0; mb < size.mb; mb++) await running.write(chunk);
    running.end();
    const host = await running.ended;
    return { seconds: (performance.now() - started) / 1_000, host };
  });

/** Time to the first byte of `echo`, as the median of several; on a connection that is open where there is one. */
async function toFirstByte(world: World, subject: Subject, over: readonly string[]): Promise<Sample> {
  const before_us = subject.pid === undefined ? Number.NaN : totalOf(subject.pid);
  const taken: number[] = [];
  for (let n = 0; n < size.commands; n++) {
    const running = ssh(world, subject, ['-n', ...over, 'h', 'echo']);
    taken.push(await running.first);
    await running.ended;
  }
  const after_us = subject.pid === undefined ? Number.NaN : totalOf(subject.pid);
  return { seconds: median(taken), processor_us: (after_us - before_us) / size.commands };
}

async function overOne(world: World, subject: Subject): Promise<Sample> {
  const control = ['-o', `ControlPath=${join(world.folder, `${subject.name}.sock`)}`];
  // It says something once it is there, and stays until nothing more comes.
  const master = ssh(world, subject, ['-M', ...control, 'h', 'echo; cat']);
  await master.first;
  try {
    return await toFirstByte(world, subject, control);
  } finally {
    master.end();
    await master.ended;
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

interface Row {
  readonly what: string;
  readonly subject: string;
  readonly [figure: string]: string;
}

type Measure = (world: World, subject: Subject) => Promise<Sample>;
const moved: readonly (readonly [string, Measure])[] = [
  ['bytes that come', back],
  ['bytes that go', there],
];
const begun: readonly (readonly [string, Measure])[] = [
  ['first byte, new connection', (world, subject) => toFirstByte(world, subject, [])],
  ['first byte, existing connection', overOne],
];

/** Rounds in turns, each beginning with another subject; the first one warms and is not counted. */
async function rounds(world: World, what: string, measure: Measure): Promise<ReadonlyMap<string, Sample>> {
  const { subjects } = world;
  const taken = new Map<string, Sample[]>(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round <= size.rounds; round++) {
    for (let turn = 0; turn < subjects.length; turn++) {
      const subject = subjects[(turn + round) % subjects.length]!;
      const sample = await measure(world, subject);
      if (round > 0) taken.get(subject.name)!.push(sample);
    }
    if (!options.json) console.error(`  ${what}: round ${String(round)} of ${String(size.rounds)}`);
  }
  return new Map(
    [...taken].map(([name, samples]) => [
      name,
      {
        seconds: median(samples.map(({ seconds }) => seconds)),
        processor_us: median(samples.map(({ processor_us }) => processor_us)),
      },
    ]),
  );
}

const ratio = (one: number, other: number) => (one / other).toFixed(2);
const load_before = loadavg()[0]!;
const world = await makeWorld();
try {
  const rows: Row[] = [];
  for (const [what, measure] of moved) {
    const found = await rounds(world, what, measure);
    for (const [subject, { seconds, processor_us }] of found)
      rows.push({
        what,
        subject,
        'MB/s': (size.mb / seconds).toFixed(0),
        'processor ms/MB': (processor_us / 1_000 / size.mb).toFixed(2),
        'time over direct': ratio(seconds, found.get('direct')!.seconds),
        'time over relay': ratio(seconds, found.get('relay')!.seconds),
        'processor over direct': ratio(processor_us, found.get('direct')!.processor_us),
      });
  }
  for (const [what, measure] of begun) {
    const found = await rounds(world, what, measure);
    for (const [subject, { seconds, processor_us }] of found)
      rows.push({
        what,
        subject,
        ms: (seconds * 1_000).toFixed(1),
        'processor ms': Number.isNaN(processor_us) ? '' : (processor_us / 1_000).toFixed(1),
        'time over direct': ratio(seconds, found.get('direct')!.seconds),
        'time over relay': ratio(seconds, found.get('relay')!.seconds),
      });
  }
  const machine = { processor: cpus()[0]?.model ?? 'unknown', processors: cpus().length, node: process.version };
  if (options.json) console.log(JSON.stringify({ machine, load: [load_before, loadavg()[0]], size, rows }));
  else {
    console.log(
      `${String(machine.processors)} × ${machine.processor}, Node ${machine.node}; load ${load_before.toFixed(0)} to ${loadavg()[0]!.toFixed(0)}`,
    );
    console.table(rows);
  }
} finally {
  await world.stop();
}
