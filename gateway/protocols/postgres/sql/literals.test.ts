import { beforeAll, describe, expect, test } from '@jest/globals';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { parse as parseYaml } from 'yaml';
import { fixtureAsk, readFixture } from '../../../../test/support/catalog-fixture.js';
import { anotherLiteral, withLiterals } from '../../../../test/support/literals.js';
import { createInterpreter, loadParser, SharedCatalog } from '../judging/interpreter.js';
import { StatementError, type Interpreter, type Template } from '../judging/statement.js';
import { Forms } from './forms.js';
import { formOf } from './literals.js';

/** What is shared between texts of one form is what each would have got alone. */

const folder = join(import.meta.dirname, 'cases');
const corpus = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .flatMap((file) => parseYaml(readFileSync(join(folder, file), 'utf8')) as { statement: string }[])
  .map(({ statement }) => statement);

/** Places where the analysis, or the grammar, reads a literal's value; and others beside them. */
const places = [
  "select id from orders where id = 7 and region = 'EU' limit 10",
  'select id, region from orders order by 1, 2 limit 10 offset 20',
  'select region, count(*) from orders where id > 5 group by 1 having count(*) > 3',
  'delete from orders where 1 = 1',
  'delete from orders where id = 1 or 2 = 2',
  "update orders set region = 'EU' where id in (1, 2, 3)",
  "update orders set region = region where 'a' = 'a'",
  "insert into orders (id, region) values (1, 'EU'), (2, 'US')",
  "select nextval('orders_id_seq'), 1",
  "select set_config('work_mem', '4MB', false)",
  "select current_setting('search_path'), 12",
  "select 'orders'::regclass, 5::numeric(10, 2), 7::varchar(3), 1::float(24), 1::float(30)",
  "select interval '1 day', date '2026-01-01', -5, - 6, +7, 1.5, 0, 0.0, ''",
  "select case 1 when 1 then 'a' else 'b' end, coalesce(1, 2)",
  'select id from orders where id between 1 and 10 fetch first 5 rows only',
  "select extract('year' from now()), substring('abc' from 1 for 2)",
  'select * from orders tablesample system (10) repeatable (7)',
  "select 'a'\n'b', 1",
  "select array[1, 2], (array[1, 2])[1], row(1, 'x')",
  'select sum(id) over (order by id rows between 1 preceding and 2 following) from orders',
  "select json_value('{\"a\": 1}', '$.a')",
];

const fixture = readFixture(join(folder, 'catalog.json'));
/** Literals may name anything: what was not recorded does not exist. */
const ask = fixtureAsk({
  ...fixture,
  names: new Proxy(fixture.names, { get: (names, name: string) => names[name] ?? null }),
});
const interpreter = (): Interpreter =>
  createInterpreter({
    shared: new SharedCatalog({ catalog_ms: 600_000 }),
    ask,
    database: 'postgres',
    user: 'postgres',
  });

async function outcome(
  of: Interpreter,
  text: string,
): Promise<Template | { sqlstate: string; message: string; position: number | undefined }> {
  try {
    return await of.interpret(text);
  } catch (error) {
    if (!(error instanceof StatementError)) throw error;
    const { sqlstate, message, position } = error;
    return { sqlstate, message, position };
  }
}

beforeAll(loadParser);

describe('one template for many texts', () => {
  test('is the template that each would have got alone, for any literals', async () => {
    const experienced = interpreter();
    const texts = [...places, ...corpus].filter((text) => formOf(text) !== undefined);
    expect(texts.length).toBeGreaterThan(150);
    let shared = 0;
    for (const text of texts) {
      const { literals } = formOf(text)!;
      const first = await outcome(experienced, text);
      const variations = fc.sample(fc.tuple(...literals.map(anotherLiteral)), 6);
      for (const values of variations) {
        const variation = withLiterals(text, literals, values);
        expect(formOf(variation)!.key).toBe(formOf(text)!.key);
        const found = await outcome(experienced, variation);
        if ('statements' in found && 'statements' in first && found.statements === first.statements) shared++;
        expect({ variation, found }).toEqual({ variation, found: await outcome(interpreter(), variation) });
      }
    }
    // Most of them need no second look.
    expect(shared).toBeGreaterThan(texts.length * 2);
  }, 120_000);

  test('is not used where the literal says what is done', async () => {
    const one = interpreter();
    for (const [first, second, what] of [
      ['select id from orders limit 10', 'select id from orders limit 20', 'limit'],
      ["select nextval('orders_id_seq')", "select nextval('nowhere_seq')", 'resources'],
      ["select set_config('work_mem', '1MB', false)", "select set_config('role', '1MB', false)", 'resources'],
    ] as const) {
      const facts = async (text: string) => {
        const { statements, resources } = await one.interpret(text);
        return what === 'limit' ? statements[0]!.facts.limit : resources;
      };
      expect(await facts(first)).not.toEqual(await facts(second));
    }
  });
});

describe('the form of a text', () => {
  const marked = (text: string) =>
    formOf(text)?.key.replaceAll('\x01', '<i>').replaceAll('\x02', '<d>').replaceAll('\x03', '<s>');

  test('has its plain literals taken out', () => {
    expect(marked("select t1.a2, \"x'1\" from t1 where a=1 and b>=2.50 and c='it''s' and d in(3,4)")).toBe(
      'select t1.a2, "x\'1" from t1 where a=<i> and b>=<d> and c=<s> and d in(<i>,<i>)',
    );
    expect(marked('select 1234567890, 5')).toBe('select 1234567890, <i>');
  });

  test.each([
    ['a comment', 'select 1 -- x'],
    ['a comment of another kind', 'select 1 /* x */'],
    ['a parameter', 'select $1, 1'],
    ['a dollar quote', 'select $$a$$, 1'],
    ['an escape string', "select E'a', 1"],
    ['a Unicode string', "select U&'a', 1"],
    ['a Unicode name', 'select U&"a", 1'],
    ['a bit string', "select b'1', 1"],
    ['a backslash', "select 'a\\', 1"],
    ['more than ASCII', "select 'ä', 1"],
    ['a control character', 'select\v1'],
    ['a number in hexadecimal', 'select 0x1F'],
    ['a number with an exponent', 'select 1e5'],
    ['a number with underscores', 'select 1_000'],
    ['half a decimal', 'select 1.'],
    ['the other half', 'select .5'],
    ['two dots', 'select 1..2'],
    ['a string that does not end', "select 'a"],
    ['a name that does not end', 'select "a, 1'],
    ['no literal', 'select a from t'],
  ])('is not known to this reader: %s', (_, text) => {
    expect(formOf(text)).toBeUndefined();
  });
});

test('an analysis that looked at more takes away what was filed without', () => {
  const forms = new Forms<string>();
  const [one, two] = [formOf('select 1, 2')!, formOf('select 3, 4')!];
  forms.keep({ form: one, seen: new Set() }, 'any');
  expect(forms.get(two)).toBe('any');
  forms.keep({ form: one, seen: new Set([1]) }, 'with 2');
  expect([forms.get(one), forms.get(two), forms.get(formOf('select 9, 2')!)]).toEqual(['with 2', undefined, 'with 2']);
});
