/**
 * Writes gateway/protocols/postgres/sql/extensions.data.ts: the functions of extensions that need no look at their bodies.
 *
 *   npm run build && node scripts/postgres-extensions.mjs postgres://… [pgvector's sql/vector.sql]   (an empty database, a superuser)
 *
 * Rules: of the extensions that `reviewed` in extensions.ts lists, what is written in C and can be named in SQL, but for what is
 * listed there as an exception. A name not all of whose overloads pass is left out. What is written in SQL is read as
 * what people write is. An extension that the server does not bring is read out of its own script.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import pg from 'pg';
import { reviewed } from '../dist/gateway/protocols/postgres/sql/extensions.js';

const [, , url, vector] = process.argv;
if (url === undefined) throw new Error('usage: postgres-extensions.mjs postgres://… [vector.sql]');
const client = new pg.Client(url);
await client.connect();
const all = new Map();
for (const [extension, exceptions] of Object.entries(reviewed)) {
  if (extension === 'vector') {
    const text = readFileSync(vector, 'utf8');
    const made = [...text.matchAll(/CREATE FUNCTION (\w+)\(([^;]*?)\) RETURNS (\w+)\b/g)].filter(
      ([, , parameters]) => !/\binternal\b/.test(parameters),
    );
    const aggregates = [...text.matchAll(/CREATE AGGREGATE (\w+)\(/g)];
    all.set(extension, new Set([...made, ...aggregates].map(([, name]) => name)));
    continue;
  }
  await client.query(`create extension if not exists "${extension}" cascade`);
  const { rows } = await client.query(
    `select p.proname as name from pg_depend d join pg_extension e on e.oid = d.refobjid join pg_proc p on p.oid = d.objid
     where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = $1
     group by 1 having bool_and(p.prolang in (12, 13)) and bool_or(p.prorettype = 'tsm_handler'::regtype or not 'internal'::regtype = any (p.proargtypes))
     order by 1`,
    [extension],
  );
  all.set(extension, new Set(rows.map(({ name }) => name).filter((name) => !exceptions.split(/\s+/).includes(name))));
}
await client.end();

const blocks = [...all].map(([extension, names]) => {
  const lines = [];
  let line = '   ';
  for (const name of [...names].sort()) {
    if (line.length + name.length > 118) {
      lines.push(line);
      line = '   ';
    }
    line += ` ${name}`;
  }
  return `  ${/^\w+$/.test(extension) ? extension : `'${extension}'`}: \`\n${[...lines, line].join('\n')}\`,\n`;
});
writeFileSync(
  new URL('../gateway/protocols/postgres/sql/extensions.data.ts', import.meta.url),
  `/** Written by scripts/postgres-extensions.mjs; the rules stand there and in extensions.ts. */\nexport const extensionFunctions = {\n${blocks.join('')}} as const;\n`,
);
console.log([...all].map(([extension, names]) => `${extension} ${names.size}`).join(', '));
