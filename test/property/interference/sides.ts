import fc from 'fast-check';
import { startTestGateway } from '../../support/gateway.js';
import { createDatabase, type TestDatabase } from '../../support/postgres.js';
import { WireClient } from '../../support/wire.js';
import { Choices } from './choices.js';
import { Grammar, type Step } from './grammar.js';
import { codesOf, comparable, refusals, run, show, type Received } from './run.js';
import {
  alikeKind,
  candidates,
  candidatesMasks,
  candidatesSql,
  equalsSql,
  valueSql,
  withAlike,
  type Kind,
} from './values.js';
import { makeWorld, type World } from './world.js';

/** A random world in two databases, a gateway with its policy before them, and how random scripts are compared over both. */
export interface Sides {
  readonly world: World;
  /** Through the gateway, as somebody with these roles. */
  through(side: Side, roles: readonly string[]): Promise<WireClient>;
  directly(side: Side): Promise<WireClient>;
  /** What the two sessions receive for a script is the same to the byte. */
  same(left: readonly Received[], right: readonly Received[]): boolean;
  close(): Promise<void>;
}

export type Side = 0 | 1;

/** What a run came across: a property over statements that are all refused says nothing. */
export interface Tally {
  scripts: number;
  answered: number;
  refused: number;
  failed: number;
  /** What the refusals said, and how often. */
  reasons: Record<string, number>;
}

export interface Comparison {
  readonly seed: number;
  /** Batches of scripts are begun until this has gone by; one at least. */
  readonly seconds: number;
  /** Two databases, or two ways to one. */
  readonly apart: boolean;
  readonly excepted: (received: readonly Received[]) => boolean;
  /** Scripts between two looks at the clock. */
  readonly runs?: number;
  /** Out of a tape; else any statements. */
  readonly script?: (numbers: readonly number[], world: World) => readonly Step[];
  /** What is wrong with what came; else that it is not the same. */
  readonly wrong?: (left: readonly Received[], right: readonly Received[]) => string | undefined;
}

const batch_runs = 50;
const shrink_ms_max = 60_000;
const choices_max = 20_000;

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
  'world/data.json': JSON.stringify({ masks: { ...world.masks, ...candidatesMasks }, filters: world.filters }),
});

/** What a world is made of, and what policy says of it. */
export interface Making {
  readonly kind: Kind;
  policy(world: World, seed: number): Record<string, string>;
  /** Of both databases. */
  readonly settings?: Readonly<Record<string, string>>;
}

const makingAlike: Making = { kind: alikeKind, policy };

/** Random schemas, policies and rows, all from one seed. */
export async function makeSides(seed: number, { kind, policy, settings = {} }: Making = makingAlike): Promise<Sides> {
  const world = makeWorld(Choices.fromSeed(seed, choices_max), kind);
  const closers: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  const database = async (options: Parameters<typeof createDatabase>[0]): Promise<TestDatabase> => {
    const made = await createDatabase(options);
    closers.push(() => made.drop());
    return made;
  };
  try {
    const one = await database({ sql: world.schema });
    // Both are copies, made of one that is empty: equal OIDs, and rows in equal places.
    const databases = [one, await database({ copyOf: one })] as const;
    const found = await one.sql('select oid::int4 from pg_class');
    const oids = new Set(found.map(({ oid }) => Number(oid)));
    // One target, and so one key for all of its databases.
    const gateway = await startTestGateway({ database: one, policy: policy(world, seed) });
    closers.push(() => gateway.close());
    const open = async (name: string, roles: readonly string[]) => {
      const client = await gateway.open({
        database: `orders/${name}`,
        token: { roles: [...roles], expiresIn: 3_500 },
      });
      closers.push(() => client.end());
      return client;
    };
    const tried = kind === alikeKind ? await database({ sql: candidatesSql }) : undefined;
    const pairs = tried === undefined ? {} : await findPairs(tried, await open(tried.database, []));
    for (const side of [0, 1] as const) {
      const { database: name } = databases[side];
      for (const [key, value] of Object.entries(settings))
        await databases[side].sql(`alter database ${name} set ${key} = ${value}`);
      await databases[side].sql(withAlike(world.rows[side], pairs));
    }
    return {
      world,
      through: (side, roles) => open(databases[side].database, roles),
      async directly(side) {
        const client = await WireClient.open(databases[side]);
        closers.push(() => client.end());
        return client;
      },
      same(left, right) {
        const [here, there] = [comparable(left, oids), comparable(right, oids)];
        return here.length === there.length && here.every((bytes, at) => bytes === there[at]);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Values that differ and are equal under a keyed mask: only the gateway knows which, so it is asked. */
async function findPairs(database: TestDatabase, client: WireClient): Promise<Record<string, string[][]>> {
  const pairs: Record<string, string[][]> = {};
  for (const [key, candidate] of Object.entries(candidates)) {
    const answer = await client.query(equalsSql(candidate));
    const ids = answer.filter(({ type }) => type === 'D').map(({ body }) => cells(body).map(Number));
    const rows = ids.length === 0 ? [] : await database.sql(valueSql(candidate, ids.flat()));
    const value = new Map(rows.map(({ id, v }) => [Number(id), String(v)]));
    pairs[key] = ids.map((pair) => pair.map((id) => value.get(id) ?? ''));
  }
  return pairs;
}

// ── comparing ───────────────────────────────────────────────────────────────────────────────────────────────────────────

export const tape = (minLength = 0) => fc.array(fc.nat({ max: 5_039 }), { minLength, maxLength: 160, size: 'max' });

export const scriptOf = (numbers: readonly number[], world: World): Step[] =>
  new Grammar(new Choices(numbers), world).script();

/** Runs random scripts on two sessions for some time; fails with the smallest script whose answers differ. */
export async function compare(
  sides: Sides,
  [one, other]: readonly [WireClient, WireClient],
  comparison: Comparison,
): Promise<Tally> {
  const tally: Tally = { scripts: 0, answered: 0, refused: 0, failed: 0, reasons: {} };
  const end = Date.now() + comparison.seconds * 1_000;
  // In batches, so that there is time to shrink what is found, however late.
  for (let batch = 0; batch === 0 || Date.now() < end; batch++)
    await fc.assert(property(sides, one, other, comparison, tally), {
      seed: comparison.seed + batch,
      numRuns: comparison.runs ?? batch_runs,
      interruptAfterTimeLimit: shrink_ms_max,
      markInterruptAsFailure: false,
    });
  tell(JSON.stringify(tally));
  return tally;
}

function property(
  { world, same }: Sides,
  one: WireClient,
  other: WireClient,
  {
    apart,
    excepted,
    script: make = scriptOf,
    wrong = (left, right) => (same(left, right) ? undefined : 'the answers differ'),
  }: Comparison,
  tally: Tally,
) {
  return fc.asyncProperty(tape(), async (numbers) => {
    const script = make(numbers, world);
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
    const what = wrong(left, right);
    if (what === undefined) return;
    throw new Error(`${what}:\n${definitions(script, world)}\n${show(left)}\n-- and\n${show(right)}\n`);
  });
}

/** What the relations of a script are, and what policy says of them: so that whoever reads a failure needs no more. */
function definitions(script: readonly Step[], world: World): string {
  const statements = world.schema.split(';\n');
  const named = new Set(script.flatMap(({ sql }) => sql.match(/\bs\d\.\w+/g) ?? []));
  const wanted = statements.filter((statement) => [...named].some((name) => statement.includes(`${name} `)));
  const below = new Set(wanted.flatMap((statement) => statement.match(/\bs\d\.\w+/g) ?? []));
  const all = statements.filter((statement) => [...below].some((name) => statement.includes(`${name} `)));
  const said = [...below].map((name) => JSON.stringify({ [name]: world.masks[name], filter: world.filters[name] }));
  return [...all.map((statement) => `${statement};`), ...said].map((line) => `  -- ${line}`).join('\n');
}

/** How much was asked, for whoever runs it longer. */
export function tell(line: string): void {
  if (process.env['SALLYPORT_SECONDS'] !== undefined) process.stdout.write(`${line}\n`);
}

/** DataRow: [count: int16]([length: int32][bytes])…, none of them NULL here. */
function cells(body: Buffer): string[] {
  const found: string[] = [];
  for (let at = 2; at < body.length; at += 4 + body.readInt32BE(at))
    found.push(body.toString('utf8', at + 4, at + 4 + body.readInt32BE(at)));
  return found;
}

export const constraintErrors = (received: readonly Received[]): boolean =>
  codesOf(received).some((code) => code.startsWith('23'));
