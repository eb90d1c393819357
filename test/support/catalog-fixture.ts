import { readFileSync, writeFileSync } from 'node:fs';
import { readCatalog, type NameKind, type Wanted } from '../../gateway/protocols/postgres/sql/catalog.js';
import type { Ask } from '../../gateway/protocols/postgres/judging/statement.js';

/** For tests: a catalog out of a file, in the place of a server. It holds what a server answered for gateway/protocols/postgres/sql/cases/schema.sql. */

interface Recorded {
  readonly path: unknown;
  /** By "kind schema.name", the schema "*" for names without one; of relations also "full relation …". */
  readonly names: Readonly<Record<string, unknown>>;
}

const kinds = ['relation', 'function', 'operator', 'type'] as const;

export function readFixture(file: string): Recorded {
  return JSON.parse(readFileSync(file, 'utf8')) as Recorded;
}

/** Answers the catalog's one query as a server does; counts how often it was asked. */
export function fixtureAsk(recorded: Recorded): Ask & { asked: number } {
  const ask = (sql: string, parameters: readonly (string | null)[]): Promise<(string | null)[][]> => {
    answer.asked++;
    const rows: (string | null)[][] = [['path', '0', JSON.stringify(recorded.path)]];
    const full = sql.includes("'full', true");
    kinds
      .filter((kind) => sql.includes(`select '${kind}'`))
      .forEach((kind, index) => {
        const schemas = elements(parameters[index * 2] ?? '{}');
        elements(parameters[index * 2 + 1] ?? '{}').forEach((name, at) => {
          const key = `${kind === 'relation' && full ? 'full ' : ''}${kind} ${schemas[at] ?? '*'}.${name ?? ''}`;
          const found = recorded.names[key];
          if (found === undefined) throw new Error(`the fixture has no ${key}: record it`);
          if (found !== null) rows.push([kind, String(at + 1), JSON.stringify(found)]);
        });
      });
    return Promise.resolve(rows);
  };
  const answer = Object.assign(ask, { asked: 0 });
  return answer;
}

/** The elements of a text[] in its text form. */
export function elements(text: string): (string | undefined)[] {
  return [...text.slice(1, -1).matchAll(/NULL|"((?:[^"\\]|\\.)*)"/g)].map((match) =>
    match[0] === 'NULL' ? undefined : match[1]?.replace(/\\(.)/g, '$1'),
  );
}

/** Passes questions on, and remembers which names were asked for. */
export function recording(ask: Ask): Ask & { readonly asked: Map<string, Wanted> } {
  const asked = new Map<string, Wanted>();
  const answer: Ask = (sql, parameters) => {
    kinds
      .filter((kind) => sql.includes(`select '${kind}'`))
      .forEach((kind, index) => {
        const schemas = elements(parameters[index * 2] ?? '{}');
        elements(parameters[index * 2 + 1] ?? '{}').forEach((name, at) => {
          const wanted = { kind, schema: schemas[at], name: name ?? '' };
          asked.set(keyOf(wanted), wanted);
        });
      });
    return ask(sql, parameters);
  };
  return Object.assign(answer, { asked });
}

const keyOf = ({ kind, schema, name }: { kind: NameKind; schema: string | undefined; name: string }): string =>
  `${kind} ${schema ?? '*'}.${name}`;

/** Writes all that was asked for as the server answers it now; of relations both what a read and what a write needs. */
export async function recordCatalog(
  ask: Ask & { readonly asked: ReadonlyMap<string, Wanted> },
  file: string,
): Promise<void> {
  const names = new Map<string, string>();
  let path: unknown;
  for (const [key, wanted] of [...ask.asked]) {
    for (const full of wanted.kind === 'relation' ? [false, true] : [false]) {
      const { answers } = await readCatalog(
        (sql, parameters) =>
          ask(sql, parameters).then((rows) => {
            path = JSON.parse(rows.find(([kind]) => kind === 'path')?.[2] ?? 'null');
            return rows;
          }),
        [{ ...wanted, full }],
      );
      const [raw = ''] = answers.values();
      names.set(`${full ? 'full ' : ''}${key}`, raw === '' ? 'null' : JSON.stringify(JSON.parse(raw)));
    }
  }
  const lines = [...names].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, raw]) => `${JSON.stringify(key)}:${raw}`);
  writeFileSync(file, `{"path":${JSON.stringify(path)},\n"names":{\n${lines.join(',\n')}\n}}\n`);
}
