import type pg from 'pg';
import type { Approver } from './approver.js';
import type { Printer, Refusal } from './print.js';
import type { Commit } from './repository.js';

/** What the steps act in. */
export interface Stage {
  /** An ordinary driver, connected through the gateway with a token as its password; all steps share this connection. */
  readonly agent: pg.Client;
  readonly print: Printer;
  /** What waits for another person, once it is known what it does. */
  readonly waiting: Approver['waiting'];
  /** Has a person answer it; what came of it. */
  readonly answer: (id: string) => ReturnType<Approver['ended']>;
  /** Commits the prepared change to the policy repository. */
  readonly commitChange: () => Promise<Commit>;
  readonly diff: (commit: string) => Promise<string>;
  /** Resolves when the commit is in force; rejects with the reason where it is refused or late. */
  readonly inForce: (commit: string) => Promise<void>;
  /** Told of every denial, by the id of its decision. */
  readonly onDenied: (decision: string) => void;
}

/** One thing to see. It throws StepFailed where anything came out other than it should. */
export interface Step {
  readonly title: string;
  readonly why: string;
  run(stage: Stage): Promise<void>;
}

export class StepFailed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StepFailed';
  }
}

const revenue = `select region, count(*) as orders, sum(total) as revenue, round(avg(total), 2) as average
from app.orders
where placed_at >= '2026-10-01' and status <> 'returned'
group by region
order by revenue desc`;

const customers = `select name, email, phone, dob, reverse(email) as backwards
from app.customers
where region = 'EU'
order by id
limit 4`;

const guess = `select count(*)::int as found from app.customers where email like '%@example.com'`;

const cards = `select name, email, card_number
from app.customers
where region = 'EU'
limit 10`;

const deletion = 'delete from app.orders';

const removal = `delete from app.orders where status = 'placed' and placed_at < '2026-01-01'`;

const payments = `select method, count(*) as payments, sum(amount) as amount
from app.payments
where paid_at >= $1 and status = 'captured'
group by method
order by amount desc`;

export const steps: readonly Step[] = [
  {
    title: 'A read that policy allows',
    why: "The agent asks for October's revenue, from tables that policy has opened to agents.",
    async run({ agent, print }) {
      print.sql(revenue);
      const started = performance.now();
      const { rows } = await allowed(agent, revenue);
      expect(rows.length === 3, `three regions were expected, and ${String(rows.length)} rows came`);
      print.table(rows);
      print.passed(`allowed, and answered in ${elapsed(started)}`);
    },
  },
  {
    title: 'Personal data, masked at its source',
    why: 'Policy masks what is personal. No expression brings it back, and a search by it finds nothing.',
    async run({ agent, print }) {
      print.sql(customers);
      const { rows } = await allowed(agent, customers);
      expect(rows.length === 4, `four customers were expected, and ${String(rows.length)} came`);
      print.table(rows);
      for (const row of rows) {
        expect(String(row['email']).includes('***'), 'an e-mail address came in clear');
        expect(row['dob'] === null, 'a date of birth came in clear');
        expect(String(row['backwards']).includes('***'), 'an e-mail address came backwards');
      }
      print.sql(guess);
      const [found] = (await allowed(agent, guess)).rows;
      print.table([found ?? {}]);
      expect(found?.['found'] === 0, 'a search by a masked value found something');
      print.passed('masked in the statement that reaches the database: it never holds the values');
    },
  },
  {
    title: 'Statements that policy denies',
    why: 'Card numbers are not for agents, and this one changes nothing. The database never sees either statement.',
    async run({ agent, print, onDenied }) {
      print.sql(cards);
      const first = await denied(agent, cards, 'payment_data');
      print.refusal(first);
      onDenied(String(first.detail['decision']));
      print.sql(deletion);
      const second = await denied(agent, deletion, 'not_allowed');
      print.refusal(second);
      onDenied(String(second.detail['decision']));
      const { rows } = await allowed(agent, 'select count(*)::int as orders from app.orders');
      expect(Number(rows[0]?.['orders']) > 0, 'the orders are gone');
      print.passed(
        `both denied with a reason; the connection goes on, and all ${String(rows[0]?.['orders'])} orders are there`,
      );
    },
  },
  {
    title: 'A delete that people approve by what it does',
    why: "It runs in a transaction that nobody has committed. The shop's owner sees its rows, with those that a cascade takes along, and says yes.",
    async run({ agent, print, waiting, answer }) {
      print.sql(removal);
      const answered = allowed(agent, removal);
      const ended = answered.then(() => {
        throw new StepFailed('this should have waited for an approval');
      });
      const { id, effect } = await Promise.race([waiting(), ended]);
      ended.catch(() => undefined);
      expect(
        effect?.basis === 'measured',
        `its effect should have been measured: ${effect?.reason ?? 'there is none'}`,
      );
      print.table(
        effect.relations.map(({ sample: _, indirect, ...counts }) => ({
          ...counts,
          by: indirect === true ? 'cascade' : 'statement',
        })),
      );
      print.table((effect.relations[0]?.sample ?? []).map(({ before }) => before ?? {}));
      const { deleted = 0 } = effect.relations.find(({ relation }) => relation === 'app.orders') ?? {};
      expect(deleted > 0, 'no order would be deleted');
      const end = await answer(id);
      if (end === 'approved') {
        const { rowCount } = await answered;
        expect(rowCount === deleted, `${String(deleted)} rows were shown, and ${String(rowCount)} deleted`);
        print.passed(`request ${id}: shown, approved, committed; the client got its "DELETE ${String(rowCount)}"`);
        return;
      }
      // Without a yes it is taken back, and its client is told.
      await answered.then(
        () => expect(false, `it was ${end}, and ran`),
        () => undefined,
      );
      const { rows } = await allowed(agent, removal.replace('delete', 'select count(*)::int as orders'));
      expect(rows[0]?.['orders'] === deleted, 'some of it has happened all the same');
      print.passed(`request ${id}: shown, ${end}, rolled back; the ${String(deleted)} orders are there`);
    },
  },
  {
    title: 'Denied, until a commit allows it',
    why: "Payments are not open to agents. Security merges a rule for the month-end report; the agent's connection stays open.",
    async run({ agent, print, commitChange, diff, inForce, onDenied }) {
      const values = ['2026-10-01'];
      print.sql(payments, values);
      const refusal = await denied(agent, payments, 'not_allowed', values);
      print.refusal(refusal);
      onDenied(String(refusal.detail['decision']));
      const commit = await commitChange();
      await inForce(commit.id);
      const { rows } = await allowed(agent, payments, values);
      const took = elapsed(commit.done_ms);
      print.diff(await diff(commit.id));
      print.sql(payments, values);
      expect(rows.length > 0, 'no payments came');
      print.table(rows);
      print.passed(
        `allowed ${took} after the commit (checked, tested, compiled, in force, and answered), on the same connection`,
      );
    },
  },
];

async function allowed(
  agent: pg.Client,
  text: string,
  values?: unknown[],
): Promise<pg.QueryResult<Record<string, unknown>>> {
  try {
    // Without values `pg` sends a simple query, with values the extended protocol: the demo uses both.
    return await agent.query<Record<string, unknown>>(values === undefined ? { text } : { text, values });
  } catch (error) {
    throw new StepFailed(`this should have been allowed: ${describe(error)}`, { cause: error });
  }
}

async function denied(agent: pg.Client, text: string, code: string, values?: unknown[]): Promise<Refusal> {
  let rows: number;
  try {
    rows = (await agent.query(values === undefined ? { text } : { text, values })).rowCount ?? 0;
  } catch (error) {
    const refusal = readRefusal(error);
    if (refusal === undefined)
      throw new StepFailed(`this should have been denied by policy, and failed otherwise: ${describe(error)}`, {
        cause: error,
      });
    const codes = (refusal.detail['reasons'] as { code?: unknown }[]).map((reason) => reason.code);
    expect(
      codes.includes(code),
      `this should have been denied because of ${code}, and was because of ${codes.join(', ')}`,
    );
    return refusal;
  }
  throw new StepFailed(`this should have been denied, and ${String(rows)} rows came back`);
}

/** A denial of the gateway's: SQLSTATE 42501 with JSON in DETAIL and HINT. Postgres's own 42501 has none. */
function readRefusal(error: unknown): Refusal | undefined {
  const { code, message, detail, hint } = error as Partial<pg.DatabaseError>;
  if (code !== '42501' || detail === undefined || hint === undefined) return undefined;
  try {
    const read = JSON.parse(detail) as Record<string, unknown>;
    if (!Array.isArray(read['reasons'])) return undefined;
    return { sqlstate: code, message: message ?? '', detail: read, hint: JSON.parse(hint) as Record<string, unknown> };
  } catch {
    return undefined;
  }
}

function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new StepFailed(otherwise);
}

function describe(error: unknown): string {
  const { code, message, detail } = error as Partial<pg.DatabaseError>;
  return [code, message ?? String(error), detail].filter((part) => part !== undefined).join(' ');
}

function elapsed(since: number): string {
  const ms = performance.now() - since;
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 10_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
