import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { WireClient } from '../support/wire.js';
import { Choices } from './interference/choices.js';
import { Grammar, type Step } from './interference/grammar.js';
import { codesOf, comparable, refusals, run, show, type Received } from './interference/run.js';
import { makeWorld, type World } from './interference/world.js';

/**
 * Non-interference: over two databases that differ only in the values of masked columns, whatever is asked, what the
 * client receives is the same to the byte. Excepted are constraint errors on writes: a constraint looks at the values
 * themselves. And where nothing is masked, the answer is the server's own.
 *
 * Random schemas, policies and rows come from the seed; random statements from fast-check, which shrinks what it finds.
 * A run without either of these is the same for everybody: SALLYPORT_SEED=random looks further, a number looks at a failure
 * again; SALLYPORT_SECONDS runs longer than a minute or so.
 */
const wanted = process.env['SALLYPORT_SEED'] ?? '95924448';
const seed = wanted === 'random' ? Date.now() & 0x7fffffff : Number(wanted);
const seconds = Number(process.env['SALLYPORT_SECONDS'] ?? 20);

const policy = (world: World) => ({
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

_masked if not "clear" in input.principal.roles

mask contains {"code": "masked", "resource": sprintf("%s.%s", [relation, column]), "with": how} if {
	_masked
	some relation, columns in data.world.masks
	some column, how in columns
}

filter contains {"code": "filtered", "resource": relation, "where": predicate} if {
	_masked
	some relation, predicate in data.world.filters
}
`,
  'world/data.json': JSON.stringify({ masks: world.masks, filters: world.filters }),
});

let world: World;
let databases: readonly TestDatabase[] = [];
let gateway: TestGateway;
let oids: ReadonlySet<number>;
const opened: WireClient[] = [];

beforeAll(async () => {
  world = makeWorld(Choices.fromSeed(seed, 20_000));
  const template = await createDatabase({ sql: world.schema });
  // Both are copies, made of one that is empty: equal OIDs, and rows in equal places.
  databases = [template, await createDatabase({ copyOf: template })];
  const found = await template.sql('select oid::int4 from pg_class');
  oids = new Set(found.map(({ oid }) => Number(oid)));
  for (const [side, database] of databases.entries()) await database.sql(world.rows[side] ?? '');
  gateway = await startTestGateway({
    database: template,
    policy: policy(world),
    config: {
      targets: databases.map(({ database, host, port, user }, side) => ({
        name: side === 0 ? 'a' : 'b',
        protocol: 'postgres',
        upstream: { host, port, database, user, password: `\${UPSTREAM_PASSWORD}`, tls: 'disable' },
      })),
    },
  });
});

afterAll(async () => {
  await Promise.all(opened.map((client) => client.end()));
  await gateway.close();
  for (const database of databases) await database.drop();
});

async function through(target: string, roles: readonly string[]): Promise<WireClient> {
  const client = await gateway.open({ database: target, token: { roles: [...roles], expiresIn: 3_500 } });
  opened.push(client);
  return client;
}

async function directly(side: number): Promise<WireClient> {
  const client = await WireClient.open(databases[side]!);
  opened.push(client);
  return client;
}

/** What a run came across: a property over statements that are all refused says nothing. */
interface Tally {
  scripts: number;
  answered: number;
  refused: number;
  failed: number;
  /** What the refusals said, and how often. */
  reasons: Record<string, number>;
}

const batch_runs = 50;
const shrink_ms_max = 60_000;
const tape = (minLength = 0) => fc.array(fc.nat({ max: 5_039 }), { minLength, maxLength: 160, size: 'max' });
const scriptOf = (numbers: readonly number[]): Step[] => new Grammar(new Choices(numbers), world).script();

/** Runs random scripts on two sessions for some time; fails with the smallest script whose answers differ. */
async function compare(one: WireClient, other: WireClient, sides: Sides): Promise<Tally> {
  const tally: Tally = { scripts: 0, answered: 0, refused: 0, failed: 0, reasons: {} };
  const end = Date.now() + seconds * 1_000;
  // In batches, so that there is time to shrink what is found, however late.
  for (let batch = 0; batch === 0 || Date.now() < end; batch++)
    await fc.assert(property(one, other, sides, tally), {
      ...{
        seed: seed + batch,
        numRuns: batch_runs,
        interruptAfterTimeLimit: shrink_ms_max,
        markInterruptAsFailure: false,
      },
    });
  tell(JSON.stringify(tally));
  return tally;
}

function property(one: WireClient, other: WireClient, { apart, excepted }: Sides, tally: Tally) {
  return fc.asyncProperty(tape(), async (numbers) => {
    const script = scriptOf(numbers);
    // The sides are databases of their own; where they are one, what is locked by one would wait for the other.
    const [left, right] = apart
      ? await Promise.all([run(one, script), run(other, script)])
      : [await run(one, script), await run(other, script)];
    const codes = codesOf(left);
    tally.scripts += 1;
    if (codes.includes('42501')) {
      tally.refused += 1;
      for (const reason of refusals(left)) tally.reasons[reason] = (tally.reasons[reason] ?? 0) + 1;
    } else if (codes.length > 0) tally.failed += 1;
    else tally.answered += 1;
    if (excepted(left) || excepted(right)) return;
    if (same(left, right)) return;
    throw new Error(`the answers differ:\n${definitions(script)}\n${show(left)}\n-- and\n${show(right)}\n`);
  });
}

function same(left: readonly Received[], right: readonly Received[]): boolean {
  const [here, there] = [comparable(left, oids), comparable(right, oids)];
  return here.length === there.length && here.every((bytes, at) => bytes === there[at]);
}

/** What the relations of a script are, and what policy says of them: so that whoever reads a failure needs no more. */
function definitions(script: readonly Step[]): string {
  const statements = world.schema.split(';\n');
  const named = new Set(script.flatMap(({ sql }) => sql.match(/\bs\d\.\w+/g) ?? []));
  const wanted = statements.filter((statement) => [...named].some((name) => statement.includes(`${name} `)));
  const below = new Set(wanted.flatMap((statement) => statement.match(/\bs\d\.\w+/g) ?? []));
  const all = statements.filter((statement) => [...below].some((name) => statement.includes(`${name} `)));
  const said = [...below].map((name) => JSON.stringify({ [name]: world.masks[name], filter: world.filters[name] }));
  return [...all.map((statement) => `${statement};`), ...said].map((line) => `  -- ${line}`).join('\n');
}

/** How much was asked, for whoever runs it longer. */
function tell(line: string): void {
  if (process.env['SALLYPORT_SECONDS'] !== undefined) process.stdout.write(`${line}\n`);
}

interface Sides {
  /** Two databases, or two ways to one. */
  readonly apart: boolean;
  readonly excepted: (received: readonly Received[]) => boolean;
}

const constraintErrors = (received: readonly Received[]): boolean =>
  codesOf(received).some((code) => code.startsWith('23'));

describe(`non-interference, seed ${String(seed)}`, () => {
  test('the statements are of use: without masks most of them are answered, and many tell the sides apart', async () => {
    const [one, other] = [await directly(0), await directly(1)];
    let different = 0;
    let answered = 0;
    const scripts = 200;
    for (const numbers of fc.sample(tape(40), { seed, numRuns: scripts })) {
      const script = scriptOf(numbers);
      const [left, right] = [await run(one, script), await run(other, script)];
      if (codesOf(left).length === 0) answered += 1;
      if (!same(left, right)) different += 1;
    }
    tell(JSON.stringify({ answered, different }));
    expect(answered).toBeGreaterThan(scripts * 0.5);
    expect(different).toBeGreaterThan(scripts * 0.15);
  });

  test(
    'where nothing is masked, the answer is the server’s own',
    async () => {
      const tally = await compare(await through('a', ['clear']), await directly(0), {
        apart: false,
        excepted: () => false,
      });
      expect(tally.answered).toBeGreaterThan(tally.scripts * 0.5);
    },
    (seconds + 60) * 1_000,
  );

  test(
    'nothing that a client receives depends on a masked value',
    async () => {
      const tally = await compare(await through('a', []), await through('b', []), {
        apart: true,
        excepted: constraintErrors,
      });
      expect(tally.answered).toBeGreaterThan(tally.scripts * 0.4);
    },
    (seconds + 120) * 1_000,
  );
});
