import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { makeData, schema } from '../adversarial/leak/data.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { clientTest, libpq, runProgram } from './support.js';

const group = 'well-known work, with masks in force,';
const leak = join(import.meta.dirname, '../adversarial/leak');
const read = (name: string) => readFileSync(join(leak, name), 'utf8');

interface Query {
  readonly name: string;
  readonly sql: string;
  /** shape: a predicate of it reads a masked column, so that the rows are others. */
  readonly compare?: 'shape';
}

/** TPC-H's 22, over the small database of the leak corpus; telephone numbers and remarks of customers and suppliers are masked there. */
const { cases: queries } = parse(read('utility/06-tpch.yaml')) as { cases: Query[] };
/** What policy/data.yaml masks, and the mask. */
const masks: Readonly<Record<string, (value: string) => string>> = {
  c_phone: (value) => `${value.charAt(0)}***${value.slice(-2)}`.padEnd(15),
  s_phone: (value) => `${value.charAt(0)}***${value.slice(-2)}`.padEnd(15),
  c_comment: () => '***',
  s_comment: () => '***',
};

describe(group, () => {
  let database: TestDatabase;
  let gateway: TestGateway;
  let through: Record<string, string>;

  beforeAll(async () => {
    database = await createDatabase({ sql: `${schema()};\n${makeData('a').sql}` });
    gateway = await startTestGateway({
      database,
      policy: { 'postgres.rego': read('policy/postgres.rego'), 'data.yaml': read('policy/data.yaml') },
    });
    through = libpq(await gateway.connection({ roles: ['readonly', 'writer'], expiresIn: 1_800 }));
  });
  afterAll(async () => {
    await gateway?.close();
    await database?.drop();
  });

  /** By the query's name, its lines; the first is the header. */
  async function answers(env: Record<string, string>): Promise<Map<string, string[][]>> {
    const input = queries.map(({ name, sql }) => `\\echo == ${name}\n${sql};`).join('\n');
    const { code, stdout, stderr } = await runProgram('psql', ['-X', '--csv', '-v', 'ON_ERROR_STOP=1'], { env, input });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return new Map(
      stdout
        .split(/^== /m)
        .slice(1)
        .map((part) => {
          const [name = '', ...lines] = part.trimEnd().split('\n');
          return [name, lines.map((line) => line.split(','))];
        }),
    );
  }

  clientTest(group, "TPC-H's 22 queries through psql give the server's rows, but for masked cells", async () => {
    const [direct, masked] = [await answers(libpq(database)), await answers(through)];
    expect(direct.size).toBe(22);
    for (const { name, compare } of queries) {
      const [header = [], ...rows] = direct.get(name) ?? [];
      const expected = rows.map((row) => row.map((cell, at) => masks[header[at] ?? '']?.(cell) ?? cell));
      const [head, ...got] = masked.get(name) ?? [];
      expect({ name, head }).toEqual({ name, head: header });
      if (compare !== 'shape') expect({ name, rows: got }).toEqual({ name, rows: expected });
    }
    // Masked columns were among what was compared.
    expect(JSON.stringify([...masked.values()])).toContain('***');
  });

  for (const script of ['tpcb-like', 'simple-update', 'select-only']) {
    clientTest(group, `pgbench's ${script} runs in each of its protocols`, async () => {
      for (const mode of ['simple', 'extended', 'prepared']) {
        const parameters = ['-n', '-b', script, '-M', mode, '-c', '2', '-t', '5', '-s', '1'];
        const { code, stdout, stderr } = await runProgram('pgbench', parameters, { env: through });
        expect({ mode, code, stderr }).toMatchObject({ code: 0, stderr: expect.not.stringMatching(/error|aborted/i) });
        expect(stdout).toContain('number of transactions actually processed: 10/10');
      }
    });
  }
});
