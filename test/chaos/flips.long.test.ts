import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { cleanUp, commit, git, repository } from '../bundles/support.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message, rows, type Frame, type WireClient } from '../support/wire.js';

/**
 * Policy flips between two commits while clients work: nobody is disconnected, nobody sees an error that policy did not
 * ask for, and every answer is that of a revision which was in force between question and answer.
 */
const flips_count = 100;
const clients_count = 32;

const policyFor = (relation: string) => ({
  'postgres.rego': `package policy.postgres

allow contains {"code": "all"} if input.version == 1

deny contains {"code": "only_${relation}"} if {
	some resource in input.operation.resources
	resource.type == "relation"
	resource.name in {"app.odd", "app.even"}
	resource.name != "app.${relation}"
}
`,
});

type Relation = 'odd' | 'even';

interface Force {
  /** What policy lets through under it. */
  readonly relation: Relation;
  readonly revision: string;
  /** When it may have come into force first, and when it was surely not in force any more. */
  readonly from: number;
  until: number;
}

describe('policy that flips under load', () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let folder: string;
  const commits: Record<Relation, string> = { odd: '', even: '' };

  beforeAll(async () => {
    database = await createDatabase({
      sql: `create schema app; create table app.odd (v int); create table app.even (v int);
        insert into app.odd select n from generate_series(1, 9, 2) n; insert into app.even select n from generate_series(2, 8, 2) n;`,
    });
    folder = await repository(policyFor('odd'));
    commits.odd = git(folder, 'rev-parse', 'HEAD');
    commits.even = await commit(folder, policyFor('even'), 'second');
    gateway = await startTestGateway({ database, config: { policy: { git: { url: folder, branch: 'main' } } } });
  }, 120_000);
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
    await cleanUp();
  });

  test('leaves no answer unexplained', async () => {
    const forces: Force[] = [{ relation: 'even', revision: `git:${commits.even}`, from: 0, until: Infinity }];
    let over = false;
    const counts = { allowed: 0, denied: 0 };

    const explain = (relation: Relation, answer: readonly Frame[], sent: number, received: number): void => {
      const possible = forces.filter(({ from, until }) => from <= received && until >= sent);
      const error = errorOf(answer);
      if (error === undefined) {
        counts.allowed += 1;
        expect(rows(answer).map(([v]) => Number(v))).toEqual(relation === 'odd' ? [1, 3, 5, 7, 9] : [2, 4, 6, 8]);
        expect(possible.map((force) => force.relation)).toContain(relation);
        return;
      }
      counts.denied += 1;
      expect(error['C']).toBe('42501');
      const { revision, reasons } = JSON.parse(error['D'] ?? '{}') as { revision: string; reasons: { code: string }[] };
      const other = relation === 'odd' ? 'even' : 'odd';
      expect(reasons.map(({ code }) => code)).toEqual([`only_${other}`]);
      expect(possible.filter((force) => force.relation === other).map((force) => force.revision)).toContain(revision);
    };

    async function work(client: WireClient, number: number): Promise<void> {
      const sql = (relation: Relation) => `select v from app.${relation} order by v`;
      for (let turn = number; !over; turn++) {
        const relation: Relation = turn % 2 === 0 ? 'odd' : 'even';
        const sent = performance.now();
        client.received.length = 0;
        const bytes =
          turn % 3 === 0
            ? [message.query(sql(relation))]
            : turn % 3 === 1
              ? [message.parse(sql(relation)), message.bind(), message.execute(), message.sync()]
              : [message.bind([], { statement: relation }), message.execute(), message.sync()];
        const answer = await client.exchange(...bytes);
        if (turn % 3 === 2 && errorOf(answer)?.['C'] === '26000') {
          // Not prepared yet: it can be as soon as policy allows it, and stays so through the flips.
          explainParse(await client.exchange(message.parse(sql(relation), relation), message.sync()));
        } else explain(relation, answer, sent, performance.now());
      }
      function explainParse(answer: readonly Frame[]): void {
        const code = errorOf(answer)?.['C'];
        expect([undefined, '42501']).toContain(code);
      }
    }

    const clients = await Promise.all(
      Array.from({ length: clients_count }, () => gateway.open({ token: { expiresIn: 3_000 } })),
    );
    try {
      const working = Promise.all(clients.map((client, number) => work(client, number)));
      const flipping = (async () => {
        try {
          for (let count = 0; count < flips_count; count++) {
            const relation: Relation = count % 2 === 0 ? 'odd' : 'even';
            const judged = gateway.changePolicy({});
            const before = forces.at(-1)!;
            forces.push({ relation, revision: `git:${commits[relation]}`, from: performance.now(), until: Infinity });
            git(folder, 'update-ref', 'refs/heads/main', commits[relation]);
            const event = await judged;
            before.until = performance.now();
            expect(event).toMatchObject({ revision: `git:${commits[relation]}` });
            // Each revision answers somebody before the next comes.
            const { allowed, denied } = counts;
            while (counts.allowed === allowed || counts.denied === denied) await new Promise(setImmediate);
          }
        } finally {
          over = true;
        }
      })();
      await Promise.all([working, flipping]);
      expect(counts.allowed).toBeGreaterThan(flips_count);
      expect(counts.denied).toBeGreaterThan(flips_count);
      // Each of them is still there, and its session whole.
      for (const client of clients) expect(rows(await client.query('select 1'))).toEqual([['1']]);
    } finally {
      for (const client of clients) client.socket.destroy();
    }
  }, 420_000);
});
