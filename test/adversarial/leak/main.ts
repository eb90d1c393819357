import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startEmbeddedPostgres, throwawaySettings } from '../../../gateway/state/embedded.js';
import { readCorpus, type Case } from './corpus.js';
import { makeData, schema } from './data.js';
import { attackElsewhere } from './elsewhere.js';
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
    // Of a principal that may write, and of one that may build; where they have other ones.
    writer: { type: 'string' },
    builder: { type: 'string' },
    database: { type: 'string', default: 'leak_a' },
    // Another database, filled with the variant b: then inference is measured as well.
    other: { type: 'string' },
    // Where TLS is spoken: the file of the certificate that has signed, and the name in the gateway's own.
    ca: { type: 'string' },
    servername: { type: 'string' },
    upstream: { type: 'string' },
    family: { type: 'string' },
    fixture: { type: 'string' },
    json: { type: 'boolean', default: false },
    verbose: { type: 'boolean', default: false },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
// Before the first await: it is called while this file is still waiting there.
const wanted = (given: Case): boolean => options.family === undefined || given.family.includes(options.family);
const remark = (line: string) => process.stderr.write(`${line}\n`);

if (options.fixture !== undefined) {
  say(fixture(options.fixture));
} else {
  const reports = options.host === undefined ? await here() : [await there(options.host)];
  if (options.json) say(JSON.stringify(reports, undefined, 2));
  else for (const report of reports) say(printable(report, options.verbose));
  // Without a gateway there is nothing that could hold.
  if (!options.direct && reports.some((report) => report.failures.length > 0)) process.exitCode = 1;
}

/** The schema on its own: both databases are made of one then, so that objects have equal numbers in both. */
function fixture(part: string): string {
  if (part === 'policy') return policyFiles();
  if (part === 'schema') return schema();
  if (part === 'a' || part === 'b') return `${makeData(part).sql};\nanalyze;`;
  throw new Error('--fixture is schema, a, b or policy');
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
    const verdicts = await run(settings, readCorpus(world.words).filter(wanted));
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

function there(host: string): Promise<Report> {
  const { password, database, other, ca, servername = host } = options;
  return attackElsewhere(
    {
      host,
      port: Number(options.port),
      user: options.user,
      passwords: { reader: password, writer: options.writer ?? password, builder: options.builder ?? password },
      databases: { a: database, b: other },
      ...(ca === undefined ? {} : { tls: { ca: readFileSync(ca, 'utf8'), servername } }),
    },
    wanted,
  );
}

function run(settings: Options, cases: readonly Case[]): Promise<Verdict[]> {
  return runAll(settings, cases, (done) => {
    if (process.stderr.isTTY && done % 50 === 0) remark(`${done} of ${cases.length}`);
  });
}
