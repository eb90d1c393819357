import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { row, type Frame } from '../support/wire.js';
import { readAttempts, run, type Attempt, type Outcome, type Step } from './attempts.js';

/**
 * Ways around the gate: each attempt of attempts.yaml must end in a refusal, none may bring a secret to its client or
 * change one, and nothing of legitimate.yaml may suffer for it.
 */
const attempts = readAttempts('./attempts.yaml');
const legitimate = readAttempts('./legitimate.yaml');
const here = (file: string): string => readFileSync(new URL(file, import.meta.url), 'utf8');

/** What stands in every secret value, plain and in the forms that a statement could turn it into. */
const marks = [
  'XSECRETX',
  Buffer.from('XSECRETX').toString('hex'),
  Buffer.from('XSECRETX').toString('base64').slice(0, 10),
];

const leaked = (frames: readonly Frame[]): boolean =>
  frames.some(({ body }) => {
    const text = body.toString('latin1');
    return marks.some((mark) => text.includes(mark));
  });

const variants = (attempt: Attempt): readonly (readonly Step[])[] =>
  attempt.steps !== undefined
    ? [attempt.steps]
    : attempt.sql === undefined
      ? [[]]
      : [[attempt.sql], [{ extended: attempt.sql }]];

function isRefusal(attempt: Attempt, { error }: Outcome): boolean {
  if (error === undefined) return false;
  if (attempt.code !== undefined) return error['C'] === attempt.code;
  if (error['C'] !== '42501') return false;
  const detail = JSON.parse(error['D'] ?? '{}') as { outcome?: string; revision?: string };
  return detail.outcome === 'deny' && typeof detail.revision === 'string';
}

describe('ways around the gate', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let names: Record<string, string>;
  let owner: pg.Client;

  beforeAll(async () => {
    database = await createDatabase({ sql: here('./database.sql') });
    owner = new pg.Client({ connectionString: database.url });
    await owner.connect();
    const [toast] = await database.sql(
      `select 'pg_toast.' || t.relname as name from pg_class c join pg_class t on t.oid = c.reltoastrelid where c.oid = 'app.secrets'::regclass`,
    );
    names = { toast: String(toast?.['name']), database: database.database };
    gateway = await startTestGateway({ database, policy: { 'postgres.rego': here('./policy.rego') } });
  });
  afterAll(async () => {
    await gateway?.close();
    await owner?.end();
    await database?.drop();
  });

  /** {toast} and the like are known once the database stands. */
  const filled = <T>(value: T): T =>
    JSON.parse(
      JSON.stringify(value).replace(/\{(toast|database)\}/g, (_whole, name: string) => names[name] ?? ''),
    ) as T;
  const state = async () =>
    (
      await owner.query(
        `select (select md5(string_agg(s::text, ',' order by id)) from app.secrets s) as secrets,
        (select count(*)::int from app.orders) as orders, (select count(*)::int from app.secret_heirs) as heirs,
        (select count(*)::int from app.orders where note like '%XSECRETX%') as copied,
        (select count(*)::int from pg_class c where c.relnamespace in ('app'::regnamespace, 'public'::regnamespace)) as relations`,
      )
    ).rows as unknown[];

  test('there are enough of them', () => {
    expect(attempts.length).toBeGreaterThanOrEqual(120);
    expect(legitimate.length).toBeGreaterThanOrEqual(60);
    for (const list of [attempts, legitimate]) expect(new Set(list.map(({ name }) => name)).size).toBe(list.length);
  });

  describe('are closed', () => {
    test.each(attempts.map((attempt) => [attempt.name, attempt] as const))('%s', async (_name, given) => {
      const attempt = filled(given);
      const before = await state();
      for (const steps of variants(attempt)) {
        const outcome = await run(gateway, attempt, steps, (sql) => owner.query(sql));
        const seen = outcome.error ?? outcome.last.map(({ type }) => type).join('');
        const early = attempt.mayFail === true ? [] : outcome.early;
        expect({ leaked: leaked(outcome.frames), early, steps }).toEqual({ leaked: false, early: [], steps });
        if (attempt.mayFail === true) continue;
        expect({ refused: isRefusal(attempt, outcome), seen, steps }).toEqual({ refused: true, seen, steps });
      }
      expect(await state()).toEqual(before);
    });
  });

  describe('leave what is legitimate alone', () => {
    // An attempt that gets through must not show as failures here.
    beforeAll(async () => {
      await owner.query(
        `truncate app.orders; insert into app.orders
          select n, case when n % 2 = 0 then 'EU' else 'US' end, n * 1.5, 'order ' || n from generate_series(1, 100) n`,
      );
    });

    test.each(legitimate.map((attempt) => [attempt.name, attempt] as const))('%s', async (_name, given) => {
      const attempt = filled(given);
      for (const steps of variants(attempt)) {
        const outcome = await run(gateway, attempt, steps, (sql) => owner.query(sql));
        expect({ error: outcome.error, early: outcome.early, steps }).toEqual({ error: undefined, early: [], steps });
        const first = outcome.last.find(({ type }) => type === 'D');
        if (attempt.gives !== undefined)
          expect(first && (row(first.body)[0]?.toString('utf8') ?? null)).toEqual(attempt.gives);
      }
    });
  });
});
