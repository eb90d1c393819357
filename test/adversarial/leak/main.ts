import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres, throwawaySettings } from '../../../gateway/state/embedded.js';
import { WireClient } from '../../support/wire.js';
import { readCorpus, type Case } from './corpus.js';
import { makeData, schema } from './data.js';
import { families, printable, type Report } from './report.js';
import { runAll, type Options, type Side, type Verdict } from './run.js';
import { compareBoth, readUtility, type Comparison } from './utility.js';
import { makeWorld, policyFiles, type Subject, type Upstream, type World } from './world.js';

/**
 * npm run leakcheck: the corpus against the gateway of this checkout, over a Postgres of its own; with --direct against that
 * Postgres itself; with --host against whatever stands there. docs/leakcheck.md says what the options mean.
 */
const { values: options } = parseArgs({
  options: {
    direct: { type: 'boolean', default: false },
    host: { type: 'string' },
    port: { type: 'string', default: '5432' },
    user: { type: 'string', default: 'postgres' },
    password: { type: 'string', default: process.env['PGPASSWORD'] ?? '' },
    database: { type: 'string', default: 'postgres' },
    // The same server's other database, filled with the variant b: then inference is measured there as well.
    other: { type: 'string' },
    upstream: { type: 'string' },
    family: { type: 'string' },
    fixture: { type: 'string' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
const remark = (line: string) => process.stderr.write(`${line}\n`);

if (options.fixture !== undefined) {
  say(options.fixture === 'policy' ? policyFiles() : fixture(options.fixture));
} else {
  const reports = options.host === undefined ? await here() : [await there(options.host)];
  if (options.json) say(JSON.stringify(reports, undefined, 2));
  else for (const report of reports) say(printable(report, options.verbose));
  // Without a gateway there is nothing that could hold.
  if (!options.direct && reports.some((report) => report.failures.length > 0)) process.exitCode = 1;
}

function fixture(variant: string): string {
  if (variant !== 'a' && variant !== 'b') throw new Error('--fixture is a, b or policy');
  return `${schema()};\n${makeData(variant).sql};\nanalyze;`;
}

function chosen(words: Readonly<Record<string, string>>): Case[] {
  const { family } = options;
  return readCorpus(words).filter((given) => family === undefined || given.family.includes(family));
}

async function here(): Promise<Report[]> {
  const server = await startEmbeddedPostgres({
    password: randomBytes(12).toString('hex'),
    settings: { ...throwawaySettings, max_connections: 100, autovacuum: 'off' },
  });
  let world: World | undefined;
  try {
    const { host, port, user, password } = server;
    world = await makeWorld({ host, port, user, password });
    if (options.direct) return [await attack(world, 'direct')];
    const reports: Report[] = [];
    for (const upstream of ['superuser', 'least privileged'] as const)
      if (options.upstream === undefined || upstream.startsWith(options.upstream))
        reports.push(await attack(world, upstream));
    return reports;
  } finally {
    await world?.close();
    await server.stop();
  }
}

async function attack(world: World, through: Upstream | 'direct'): Promise<Report> {
  const started = Date.now();
  const open = (filled: World['a']): Promise<Subject> | Subject =>
    through === 'direct' ? world.direct(filled) : world.gateway(filled, through);
  const a: Side = { filled: world.a, subject: await open(world.a) };
  const b: Side = { filled: world.b, subject: await open(world.b) };
  const { data: own } = world.a;
  const settings: Options = {
    a,
    b,
    canaries: { a: own.canaries, b: world.b.data.canaries },
    said: [world.words['guess'] ?? '', world.words['hashed'] ?? ''],
    newest: world.newest,
  };
  try {
    const verdicts = await run(settings, chosen(world.words));
    const useful: Comparison[] = [];
    if (options.family === undefined || options.family === 'utility') {
      const direct = world.direct(world.a, through === 'direct' ? 'superuser' : through);
      for (const each of readUtility())
        useful.push(await compareBoth(each, direct.open(each.as), a.subject.open(each.as), world));
    }
    return families(through, verdicts, useful, Date.now() - started);
  } finally {
    await a.subject.close();
    await b.subject.close();
  }
}

async function there(host: string): Promise<Report> {
  const started = Date.now();
  const subject = (database: string): Subject => ({
    open: () => (parameters) =>
      WireClient.open({
        host,
        port: Number(options.port),
        user: options.user,
        password: options.password,
        database,
        parameters,
      }),
    close: async () => undefined,
  });
  const a = makeData('a');
  const ssn = /values\n\(1, 'Customer 1', '[^']*', '[^']*', '(.)/.exec(a.sql)?.[1] ?? 'G';
  const words = {
    guess: [...a.canaries][2] ?? '',
    hashed: [...a.canaries][0] ?? '',
    first: ssn,
    toast: 'pg_toast.pg_toast_1',
  };
  const settings: Options = {
    a: { filled: undefined, subject: subject(options.database) },
    b: options.other === undefined ? undefined : { filled: undefined, subject: subject(options.other) },
    canaries: { a: a.canaries, b: makeData('b').canaries },
    said: [words.guess, words.hashed],
    newest: Number.MAX_SAFE_INTEGER,
  };
  return families(`${host}:${options.port}`, await run(settings, chosen(words)), [], Date.now() - started);
}

function run(settings: Options, cases: readonly Case[]): Promise<Verdict[]> {
  return runAll(settings, cases, (done) => {
    if (process.stderr.isTTY && done % 50 === 0) remark(`${done} of ${cases.length}`);
  });
}
