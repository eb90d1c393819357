import { describe, expect, test, beforeAll, afterAll } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { parse as parseYaml } from 'yaml';
import { createDatabase, type TestDatabase, textRows } from '../../../../test/support/postgres.js';
import { createInterpreter, loadParser, SharedCatalog } from '../judging/interpreter.js';
import { StatementError, type Ask, type Interpreter, type Template } from '../judging/statement.js';
import { fixtureAsk, readFixture, recordCatalog, recording } from '../../../../test/support/catalog-fixture.js';

/**
 * `cases/*.yaml`: a statement and what policy sees of it, over a catalog in a file and over a real server's. With
 * RECORD_CATALOG=1 in the environment the file is written anew out of what the server says.
 */

interface Case {
  readonly statement: string;
  readonly refused?: string;
  readonly message?: string;
  readonly position?: number;
}

const folder = join(import.meta.dirname, 'cases');
const groups = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => ({ file, cases: parseYaml(readFileSync(join(folder, file), 'utf8')) as Case[] }));

const interpreterOver = (ask: Ask): Interpreter =>
  createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask,
    database: 'postgres',
    user: 'postgres',
  });

/** A template in the form of the cases. */
function described(template: Template): unknown {
  const { statements } = template;
  const because = [...new Set(statements.flatMap(({ facts }) => facts.because ?? []))];
  const unresolved = statements.flatMap(({ facts }) => facts.unresolved);
  const limit = statements.find(({ facts }) => facts.limit !== undefined)?.facts.limit;
  const control = statements
    .map(({ control: each }) => {
      if (!('inner' in each)) return each;
      const inner = each.inner.text;
      // The numbers of types that the schema makes are others on each server.
      return each.kind === 'prepare'
        ? { ...each, inner, types: each.types.map((type) => (type < 16_384 ? type : 'made')) }
        : { ...each, inner };
    })
    .filter((each) => each.kind !== 'none');
  const moves = (['path', 'catalog', 'anything'] as const).filter((what) =>
    statements.some((each) => each.moves[what]),
  );
  return JSON.parse(
    JSON.stringify({
      statement: template.text,
      action: template.action,
      kinds: statements.map(({ facts }) => facts.kind).join(', '),
      ...(template.opaque ? { opaque: because } : {}),
      ...(unresolved.length > 0 ? { unresolved } : {}),
      ...(statements.some(({ facts }) => !facts.bounded) ? { bounded: false } : {}),
      limit,
      ...(control.length > 0 ? { control } : {}),
      ...(moves.length > 0 ? { moves: moves.join(', ') } : {}),
      resources: template.resources.map((r) =>
        [r.type, r.name, r.access, ...(r.use ? [r.use] : []), ...(r.via ? [`via ${r.via}`] : [])].join(' '),
      ),
      ...(template.recorded !== template.text ? { recorded: template.recorded } : {}),
      ...(template.parameters > 0 ? { parameters: template.parameters } : {}),
      comment: template.comment,
    }),
  );
}

async function outcome(interpreter: Interpreter, statement: string): Promise<unknown> {
  try {
    return described(await interpreter.interpret(statement));
  } catch (error) {
    if (!(error instanceof StatementError)) throw error;
    return {
      statement,
      refused: error.sqlstate,
      message: error.message,
      ...(error.position === undefined ? {} : { position: error.position }),
    };
  }
}

beforeAll(loadParser);

test('there are cases enough to mean something', () => {
  expect(groups.flatMap(({ cases }) => cases).length).toBeGreaterThan(400);
});

describe('over the recorded catalog', () => {
  const interpreter = interpreterOver(fixtureAsk(readFixture(join(folder, 'catalog.json'))));
  for (const { file, cases } of groups) {
    describe(file, () => {
      for (const each of cases) {
        test(each.statement, async () => {
          expect(await outcome(interpreter, each.statement)).toEqual(each);
        });
      }
    });
  }
});

describe('over a server', () => {
  let database: TestDatabase;
  let client: pg.Client;
  let interpreter: Interpreter;
  let ask: ReturnType<typeof recording>;
  beforeAll(async () => {
    database = await createDatabase({ sql: readFileSync(join(folder, 'schema.sql'), 'utf8') });
    client = new pg.Client(database.url);
    await client.connect();
    await client.query('set search_path = app, public');
    ask = recording(textRows(client));
    interpreter = interpreterOver(ask);
  });
  afterAll(async () => {
    if (process.env['RECORD_CATALOG'] === '1') await recordCatalog(ask, join(folder, 'catalog.json'));
    await client.end();
    await database.drop();
  });
  for (const { file, cases } of groups) {
    test(`${file} says the same`, async () => {
      const said: unknown[] = [];
      for (const each of cases) said.push(await outcome(interpreter, each.statement));
      expect(said).toEqual(cases);
    });
  }
});
