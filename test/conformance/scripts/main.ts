import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { end, run, said } from '../../../bench/processes.js';
import { packageRoot } from '../../../bundles/index.js';
import { startEmbeddedPostgres, throwawaySettings } from '../../../gateway/state/embedded.js';
import { createIdentityProvider } from '../../support/idp.js';
import { compared, type Difference } from './difference.js';

/**
 * npm run regress -- FOLDER [--only a,b] [--keep FOLDER] [--json]: SQL scripts, sent by psql to Postgres itself and through the
 * gateway to another one like it; what psql shows must be the same. Meant for Postgres's own src/test/regress: some fifty
 * thousand lines that nobody wrote with a gateway in mind. Policy allows everything, and masks a column that no script names:
 * so every statement goes the way that statements go under masks.
 */
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    keep: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
const remark = (line: string) => process.stderr.write(`${line}\n`);

const [folder] = positionals;
if (folder === undefined) {
  remark('npm run regress -- FOLDER [--only a,b] [--keep FOLDER] [--json]; FOLDER: …/src/test/regress of Postgres');
  process.exit(2);
}
const host = '127.0.0.1';
const database = 'regression';
const made = 'regression_template';
const password = 'regress';
const script_ms_max = 120_000;
const preparation = 'test_setup';
const policy = `package policy.postgres

allow contains {"code": "everything"}

mask contains {"resource": "guarded.secret.value", "with": "redact", "code": "pii"} if {
	some resource in input.operation.resources
	resource.name == "guarded.secret.value"
}
`;

const sources = resolve(folder);
const files = await readdir(join(sources, 'sql')).then(
  () => join(sources, 'sql'),
  () => sources,
);
const all = (await readdir(files)).filter((name) => name.endsWith('.sql')).map((name) => name.slice(0, -4));
const wanted = options.only?.split(',') ?? all.filter((name) => name !== preparation).sort();
for (const name of wanted) if (!all.includes(name)) throw new Error(`there is no ${name}.sql in ${files}`);

const home = await mkdtemp(join(tmpdir(), 'sallyport-regress-'));
const kept = options.keep === undefined ? join(home, 'answers') : resolve(options.keep);
await mkdir(kept, { recursive: true });
// As pg_regress sets them.
const environment = {
  ...process.env,
  PGHOST: host,
  PGTZ: 'America/Los_Angeles',
  PGDATESTYLE: 'Postgres, MDY',
  PGOPTIONS: '-c intervalstyle=postgres_verbose',
  PG_ABS_SRCDIR: sources,
};

interface Place {
  readonly port: number;
  readonly user: string;
  readonly password: string;
}

/** Whatever it says, it says into that file. */
function psql(place: Place, name: string, into: string, args: readonly string[]): Promise<void> {
  const file = openSync(into, 'w');
  const child = spawn('psql', ['-X', '-q', '-p', String(place.port), '-U', place.user, '-d', name, ...args], {
    env: { ...environment, PGPASSWORD: place.password },
    stdio: ['ignore', file, file],
    timeout: script_ms_max,
    killSignal: 'SIGKILL',
  });
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', () => {
      closeSync(file);
      done();
    });
  });
}

const processes: ChildProcess[] = [];
const settings = { ...throwawaySettings, max_connections: 60, max_prepared_transactions: 10, jit: 'off' };
const servers = [
  await startEmbeddedPostgres({ password, settings }),
  await startEmbeddedPostgres({ password, settings }),
];
try {
  const [plain, behind] = servers.map(({ port, user }): Place => ({ port, user, password })) as [Place, Place];
  const rest = join(home, 'rest');
  const administer = (place: Place, text: string) => psql(place, 'postgres', rest, ['-c', text]);
  for (const place of [plain, behind]) {
    await administer(place, `create database ${made} template template0 encoding utf8 locale 'C'`);
    await administer(place, `alter database ${made} set lc_messages to 'C'`);
    if (all.includes(preparation)) await psql(place, made, rest, ['-f', join(files, `${preparation}.sql`)]);
    await psql(place, made, rest, ['-c', 'create schema guarded; create table guarded.secret (id int, value text)']);
  }
  const through = await startGateway(behind);
  const differences: Difference[] = [];
  for (const [index, name] of wanted.entries()) {
    for (const place of [plain, behind]) {
      await administer(place, `drop database if exists ${database} with (force)`);
      await administer(place, `create database ${database} template ${made}`);
      await administer(place, `alter database ${database} set lc_messages to 'C'`);
    }
    const shown = (side: string) => join(kept, `${name}.${side}`);
    const script = ['-a', '-v', 'HIDE_TABLEAM=on', '-v', 'HIDE_TOAST_COMPRESSION=on', '-f', join(files, `${name}.sql`)];
    await Promise.all([
      psql(plain, database, shown('direct'), script),
      psql(through, database, shown('gateway'), script),
    ]);
    const [direct, gateway] = await Promise.all(['direct', 'gateway'].map((side) => readFile(shown(side), 'latin1')));
    const found = compared(name, direct!, gateway!);
    differences.push(found);
    if (!options.json)
      remark(
        `${String(index + 1)}/${String(wanted.length)} ${name}: ${String(found.lines)} lines, ${String(found.other.length)} otherwise, ${String(found.withheld)} withheld`,
      );
  }
  report(differences);
} finally {
  await Promise.all(processes.map(end));
  await Promise.all(servers.map((server) => server.stop()));
  if (options.keep === undefined) await rm(home, { recursive: true, force: true });
}

async function startGateway(upstream: Place): Promise<Place> {
  const idp = await createIdentityProvider();
  await mkdir(join(home, 'policy'));
  await writeFile(join(home, 'policy/postgres.rego'), policy);
  await idp.writeJwks(join(home, 'jwks.json'));
  await writeFile(
    join(home, 'sallyport.yaml'),
    `listen: {postgres: "${host}:0"}
identity:
  providers: [{name: regress, type: oidc, issuer: ${idp.issuer}, audience: ${idp.audience}, jwks: {file: ./jwks.json}, algorithms: [ES256]}]
  token_lifetime_max: 5h
policy: {directory: ./policy}
targets:
  - name: ${database}
    protocol: postgres
    upstream: {host: ${host}, port: ${String(upstream.port)}, database: ${database}, user: ${upstream.user}, password: "\${UPSTREAM_PASSWORD}", tls: disable}
state: {directory: ./state}
audit: {durability: memory, sinks: [{file: ./audit.jsonl}]}
`,
  );
  const program = [join(packageRoot, 'bin/sallyport.js'), 'run', '-c', join(home, 'sallyport.yaml')];
  const child = run(processes, process.execPath, program, {
    env: { ...process.env, UPSTREAM_PASSWORD: upstream.password },
  });
  const port = Number(await said(child, /^sallyport: postgres on .*:(\d+)$/m));
  const token = await idp.issueToken({ subject: 'agent:regress', purpose: 'regression', expiresIn: 4 * 3_600 });
  return { port, user: upstream.user, password: token };
}

function report(differences: readonly Difference[]): void {
  if (options.json) {
    say(JSON.stringify(differences, undefined, 2));
    return;
  }
  const sum = (of: (one: Difference) => number) => differences.reduce((total, one) => total + of(one), 0);
  for (const { name, other } of differences.filter((one) => one.other.length > 0)) {
    say(`\n${name}`);
    for (const line of other) say(`  ${line}`);
  }
  const same = differences.filter((one) => one.other.length === 0 && one.withheld === 0).length;
  say(
    `\n${String(differences.length)} scripts, ${String(sum((one) => one.lines))} lines shown: ${String(same)} scripts the same to the byte, ` +
      `${String(sum((one) => one.withheld))} messages and details withheld, ${String(sum((one) => one.other.length))} other lines otherwise`,
  );
}
