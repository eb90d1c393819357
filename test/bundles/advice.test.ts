import { afterAll, expect, test } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Compiler, findOpa, readCatalog } from '../../bundles/index.js';
import { cleanUp, snapshotOf } from './support.js';

interface Case {
  readonly title: string;
  readonly package?: string;
  readonly rules?: string;
  readonly data?: string;
  readonly targets?: readonly string[];
  readonly advice?: readonly (readonly [place: string, message: string, help: string])[];
}

const cases = parse(readFileSync(join(import.meta.dirname, 'advice.yaml'), 'utf8')) as readonly Case[];
const told = new Set([
  'never_fires',
  'uncovered',
  'unknown_column',
  'wide_allow',
  'slow_pattern',
  'slow_builtin',
  'not_looked_through',
]);
/** As `sallyport classify orders --json` writes it: the second is a label that was kept, of a column that was not seen. */
const catalog = readCatalog(
  'orders.json',
  JSON.stringify({
    target: 'orders',
    columns: [
      { column: 'app.customers.email', type: 'text', status: 'proposed' },
      { column: 'app.customers.emial', status: 'kept' },
    ],
  }),
);

afterAll(cleanUp);

test.each(cases)(
  'says of $title',
  async ({ package: named = 'policy.postgres', rules, data, targets, advice = [] }) => {
    const compiler = await Compiler.create({ opa: await findOpa(), ...(targets && { targets }) });
    const text = `package ${named}\n\n${rules ?? ''}`;
    const snapshot = snapshotOf({ 'p.rego': text, 'data.yaml': data ?? 'secret_tables: []\n' });
    const { layer } = await compiler.check(snapshot);
    const found = await compiler.advise(snapshot, layer, { catalogs: [catalog] });
    const said = found.filter(({ code }) => told.has(code));
    expect(said.map(({ line, code, message, help }) => [`${line}:${code}`, message, help])).toEqual(
      advice.map(([place, message, help]) => [place, expect.stringContaining(message), expect.stringContaining(help)]),
    );
    expect(said.every(({ file }) => file === (rules === undefined ? 'data.yaml' : 'p.rego'))).toBe(true);
  },
);

test('what is no catalog is refused, by its name and with what makes one', () => {
  expect(() => readCatalog('x.json', '{"ok":false}')).toThrow(
    /x\.json: is no catalog of a target\n.*sallyport classify/,
  );
});
