import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { Compiler, findOpa, openSource } from '../../bundles/index.js';
import { runCommandLine } from '../../gateway/cli/index.js';
import { connect } from '../../gateway/classify/connect.js';
import { createAuthority } from '../support/certificates.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** `sallyport classify` against a running gateway, as somebody calls it. */

/** In every value that must never leave the process. */
const canary = 'canary7391';

const schema = `
create schema app;
create schema "Odd schema";
create table app.customers (
  id bigint primary key, name text not null, email text, c1 text, card varchar(30), ssn text, dob date, region text,
  labelled text, created_at timestamptz not null default now(), active boolean, meta jsonb
);
comment on column app.customers.c1 is 'Telephone';
insert into app.customers
  select n, (array['Ada Lovelace', 'Alan Turing', 'Grace Hopper'])[n % 3 + 1] || ' ${canary}', '${canary}-' || n || '@example.com',
    '+1 415 555 ' || 1000 + n, (array['4111111111111111', '5555555555554444', '378282246310005'])[n % 3 + 1], '123-45-' || 1000 + n,
    date '1940-01-01' + n * 30, (array['EU', 'US'])[n % 2 + 1], '${canary}', now(), true, jsonb_build_object('to', 'x' || n || '@example.com')
  from generate_series(1, 500) as n;
create table app.big as select n as id, 'u' || n || '@example.com' as contact from generate_series(1, 50000) as n;
analyze app.big;
create table app.guarded (id int, email text, region text);
insert into app.guarded select n, '${canary}', 'EU' from generate_series(1, 20) as n;
create table app.veiled (id int, email text, phone text);
insert into app.veiled select n, '${canary}@example.com', '+1 415 555 ' || 1000 + n from generate_series(1, 20) as n;
create table app.parted (id int, phone text) partition by range (id);
create table app.parted_1 partition of app.parted for values from (0) to (100);
insert into app.parted select n, '+49 30 ' || 100000 + n from generate_series(1, 50) as n;
create view app.names as select name from app.customers;
create table "Odd schema"."a.b" (email text);
create table "Odd schema"."Table quoted" ("the e-mail" text, "new
line" int);
insert into "Odd schema"."Table quoted" select 'q' || n || '@example.com', n from generate_series(1, 20) as n;
`;

const policy = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

deny contains {"code": "guarded", "message": "not this column"} if {
	some resource in input.operation.resources
	resource.name == "app.guarded.email"
}

mask contains {"code": "veiled", "resource": "app.veiled.email", "with": "redact"}

deny contains {"code": "stranger"} if input.principal.subject == "agent:stranger"
`,
  'data.yaml':
    'classification: {orders: {app.customers.labelled: own, app.gone.x: own}}\nmasks: {own: hash, contact: partial}\n',
};

/** Every intent is in the file before its statement leaves. */
const recordedFirst = { durability: 'disk', sinks: [{ file: './audit.jsonl' }] };

let database: TestDatabase;
let gateway: TestGateway;
let scratch: string;

beforeAll(async () => {
  database = await createDatabase({ sql: schema });
  gateway = await startTestGateway({
    database,
    policy,
    config: { audit: recordedFirst },
  });
  scratch = await mkdtemp(join(tmpdir(), 'sallyport-classify-'));
});

afterAll(async () => {
  await gateway.close();
  await database.drop();
  await rm(scratch, { recursive: true, force: true });
});

async function classify(...args: string[]) {
  let out = '';
  let err = '';
  const code = await runCommandLine(['classify', ...args], {
    env: { ...process.env, SALLYPORT_TOKEN: await gateway.token(), UPSTREAM_PASSWORD: database.password },
    fallbackFolder: scratch,
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}
/** The option that names a file with this token in it. */
async function by(token: string): Promise<readonly string[]> {
  const file = join(scratch, 'token');
  await writeFile(file, token, { mode: 0o600 });
  return ['--token-file', file];
}
const running = () => [
  ...['--gateway', `${gateway.host}:${String(gateway.port)}`],
  ...['--config', join(gateway.folder, 'sallyport.yaml')],
];

interface Intent {
  readonly kind: string;
  readonly resources: readonly { readonly name: string }[];
  readonly personal: {
    readonly principal: { readonly subject: string };
    readonly client: object;
    readonly operation: { readonly statement: string };
  };
}

interface Json {
  readonly columns: readonly { column: string; status: string; labels: string[]; values?: number; without?: string }[];
  readonly masks: unknown;
  readonly warnings: readonly string[];
}

describe('classify', () => {
  test('proposes what can be merged, and says nothing of any value', async () => {
    const { code, err, out } = await classify('orders', ...running());
    expect({ code, err }).toMatchObject({ code: 0, err: expect.stringContaining('1 of 7: Odd schema') as unknown });
    expect(parse(out)).toEqual({
      classification: {
        orders: {
          'Odd schema.Table quoted.the e-mail': 'contact',
          'app.big.contact': 'contact',
          'app.customers.name': 'identity',
          'app.customers.email': 'contact',
          'app.customers.c1': 'contact',
          'app.customers.card': 'payment',
          'app.customers.ssn': 'identity',
          'app.customers.dob': 'identity',
          'app.customers.labelled': 'own',
          'app.customers.meta': 'text',
          'app.guarded.email': 'contact',
          'app.parted.phone': 'contact',
          'app.veiled.email': 'contact',
          'app.veiled.phone': 'contact',
          'app.gone.x': 'own',
        },
      },
      masks: { contact: 'partial', identity: 'redact', own: 'hash', payment: 'redact', text: 'redact' },
    });
    expect(out).toContain('# sure: 200 of 200 values look like e-mail addresses, and the name says e-mail addresses');
    expect(out).toContain('# Note: app.guarded: 1 column refused (guarded)');
    expect(out).toContain("    # kept: the policy's own\n    app.customers.labelled: own\n");
    expect(out).toContain('# Note: Odd schema.a.b: 1 column cannot be labelled: ');
    expect(out).toContain('    # "Odd schema.a.b.email": contact\n');
    expect(out).toContain('# Note: app.veiled: 1 column came masked: only names and types count there\n');
    expect(out).toContain(
      '# likely: the name says e-mail addresses; of the values nothing is known: they came masked\n    app.veiled.email:',
    );
    expect(out + err).not.toMatch(new RegExp(`${canary}|Lovelace|4111|example\\.com`));
  });

  test('what it proposes passes the check of a policy', async () => {
    const { out } = await classify('orders', ...running());
    const folder = join(scratch, 'merged');
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    await writeFile(join(folder, 'postgres.rego'), policy['postgres.rego']);
    await writeFile(join(folder, 'data.yaml'), out);
    const opa = await findOpa({ env: process.env });
    const compiler = await Compiler.create({ opa: () => Promise.resolve(opa) });
    await expect(compiler.check(await openSource({ directory: folder }).read())).resolves.toBeDefined();
  });

  test('is judged and recorded as any client, and reads no column that has a label', async () => {
    const token = await gateway.token({ subject: 'agent:recorded' });
    await classify('orders', ...running(), '--schema', 'app', ...(await by(token)));
    const recorded = ((await gateway.records()) as unknown as Intent[]).filter(
      ({ kind, personal }) => kind === 'intent' && personal.principal.subject === 'agent:recorded',
    );
    const names = new Set(recorded.flatMap(({ resources }) => resources.map(({ name }) => name)));
    expect([...names]).toEqual(expect.arrayContaining(['app.customers.email', 'app.big.contact']));
    expect([...names]).not.toContain('app.customers.labelled');
    expect(recorded[0]?.personal.client).toMatchObject({ application: 'sallyport classify' });
    // Never without a bound, and of a large table here and there a page.
    const reads = recorded.map(({ personal }) => personal.operation.statement).filter((text) => text.includes('"app"'));
    expect(reads.length).toBeGreaterThan(6);
    expect(reads.filter((text) => !/ limit (0|200)$/.test(text))).toEqual([]);
    // What comes masked is asked for no rows alone.
    expect(reads.filter((text) => text.includes('"veiled"') && text.includes('"email"'))).toEqual([
      'select "id", "email", "phone" from "app"."veiled" limit 0',
    ]);
    expect(reads.filter((text) => /"big" tablesample system \(\d+\.\d+\) limit 200$/.test(text))).toHaveLength(1);
  });

  test('goes by names alone with --sample 0', async () => {
    const { code, out } = await classify('orders', ...running(), '--sample', '0', '--json');
    const { columns } = JSON.parse(out) as Json;
    expect(code).toBe(0);
    expect(columns.filter(({ values }) => values !== undefined)).toEqual([]);
    expect(columns.find(({ column }) => column === 'app.customers.email')).toMatchObject({ status: 'proposed' });
    expect(columns.find(({ column }) => column === 'app.big.contact')).toMatchObject({ status: 'none' });
  });

  test('writes a file, over an earlier proposal only', async () => {
    const file = join(scratch, 'proposal.yaml');
    const mine = join(scratch, 'data.yaml');
    await writeFile(mine, 'classification: {}\n');
    const args = [...running(), '--schema', 'Odd schema', '-o'];
    expect((await classify('orders', ...args, file)).out).toBe('');
    expect((await classify('orders', ...args, file)).code).toBe(0);
    expect(parse(await readFile(file, 'utf8'))).toMatchObject({
      classification: { orders: { 'Odd schema.Table quoted.the e-mail': 'contact' } },
    });
    expect(await classify('orders', ...args, mine)).toMatchObject({
      code: 2,
      err: expect.stringContaining('is no earlier proposal') as unknown,
    });
    expect(await readFile(mine, 'utf8')).toBe('classification: {}\n');
  });

  test('says which schema has nothing', async () => {
    const { code, out } = await classify('orders', ...running(), '--schema', 'nowhere', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      warnings: [expect.stringContaining('schema "nowhere" has no tables') as unknown],
    });
  });

  test('answers no where policy does', async () => {
    const token = await gateway.token({ subject: 'agent:stranger' });
    const { code, err, out } = await classify('orders', ...running(), '--json', ...(await by(token)));
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ ok: false, codes: ['stranger'] });
    expect(err).toContain('refused: ');
    expect(await classify('orders', ...running(), ...(await by('nonsense')))).toMatchObject({ code: 1 });
  });

  test('says what is wrong with how it was called', async () => {
    expect(await classify('nothing', ...running().slice(2))).toMatchObject({
      code: 2,
      err: expect.stringContaining('has no Postgres target "nothing"; it has orders') as unknown,
    });
    expect(await classify('orders', ...running().slice(2))).toMatchObject({
      code: 2,
      err: expect.stringContaining('name where the gateway listens with --gateway') as unknown,
    });
    expect((await classify('orders', '--gateway', 'nonsense')).code).toBe(2);
    expect((await classify('orders', ...running(), '--sample', 'many')).code).toBe(2);
    expect((await classify('orders', ...running(), ...(await by('')))).code).toBe(2);
    // What stands on a command line is read by every process of the machine.
    expect((await classify('orders', ...running(), '--token', 'x.y.z')).code).toBe(2);
    expect((await classify('orders', '--gateway', '127.0.0.1:1')).code).toBe(3);
  });
});

describe('over TLS', () => {
  const authority = createAuthority();
  const leaf = authority.issue({ names: ['gateway.example'] });
  let encrypted: TestGateway;

  beforeAll(async () => {
    encrypted = await startTestGateway({ database, policy, tls: leaf, config: { audit: recordedFirst } });
  });
  afterAll(() => encrypted.close());

  const attempt = async (address: { certificate?: string; tls?: boolean }) => {
    const { host, port } = encrypted;
    const client = await connect({ host, port, ...address }, 'orders', await encrypted.token());
    const { rows } = await client.query('select 1');
    await client.close();
    return rows;
  };

  test.each([
    ['alone', leaf.certificate],
    ['with its authority', leaf.certificate + authority.certificate],
  ])('the certificate of the configuration is believed, %s', async (_, certificate) => {
    expect(await attempt({ certificate })).toEqual([['1']]);
  });

  test('another is not, not even one of the same authority; nor is one that nobody knows', async () => {
    const other = authority.issue({ names: ['gateway.example'] }).certificate;
    const sent = async () =>
      (await encrypted.records()).filter(({ kind }) => kind === 'intent' || kind === 'sign_in_refused').length;
    const before = await sent();
    await expect(attempt({ certificate: createAuthority().issue().certificate })).rejects.toThrow(/cannot connect/);
    await expect(attempt({ certificate: other })).rejects.toThrow(/cannot connect/);
    await expect(attempt({ certificate: other + authority.certificate })).rejects.toThrow(/another certificate/);
    await expect(attempt({ tls: true })).rejects.toThrow(/cannot connect/);
    expect(await sent()).toBe(before);
  });

  test('a token is not sent in clear to another machine', async () => {
    await expect(connect({ host: 'gateway.example', port: 5432 }, 'orders', 'token')).rejects.toThrow(/in clear/);
  });
});
