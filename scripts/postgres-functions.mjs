/**
 * Writes gateway/protocols/postgres/sql/functions.data.ts: the built-in functions that need no look at their bodies.
 *
 *   npm run build && node scripts/postgres-functions.mjs postgres://…   (a server of the newest supported major version)
 *
 * Rules: all immutable functions of pg_catalog that SQL can call (no argument or result of type internal or cstring, no
 * handlers and triggers), aggregates and window functions among them, and what `reviewed` in functions.ts lists. A name
 * not all of whose overloads pass is left out.
 */
import { writeFileSync } from 'node:fs';
import pg from 'pg';
import { reviewed } from '../dist/gateway/protocols/postgres/sql/functions.js';

const url = process.argv[2];
if (url === undefined) throw new Error('usage: postgres-functions.mjs postgres://…');
const client = new pg.Client(url);
await client.connect();
const passed = new Set(Object.values(reviewed).flatMap((names) => names.trim().split(/\s+/)));
const { rows } = await client.query(
  `select p.proname as name, bool_and(p.proname = any($1) or (p.provolatile = 'i' and not exists (
      select from unnest(p.proargtypes || p.prorettype) as a(oid) join pg_type t on t.oid = a.oid
      where t.typname in ('internal', 'cstring', 'trigger', 'event_trigger', 'language_handler', 'fdw_handler', 'index_am_handler', 'tsm_handler', 'table_am_handler')))) as ok
   from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.oid < 16384 group by 1 order by 1`,
  [[...passed]],
);
const {
  rows: [server],
} = await client.query("select split_part(version(), ' on ', 1) as version");
await client.end();
const missing = [...passed].filter((name) => !rows.some((row) => row.name === name));
if (missing.length > 0) console.error(`not in this server: ${missing.join(' ')}`);
const names = rows.filter((row) => row.ok).map((row) => row.name);
const lines = [];
let line = ' ';
for (const name of names) {
  if (line.length + name.length > 150) {
    lines.push(line);
    line = ' ';
  }
  line += ` ${name}`;
}
lines.push(line);
writeFileSync(
  new URL('../gateway/protocols/postgres/sql/functions.data.ts', import.meta.url),
  `/** Written by scripts/postgres-functions.ts out of ${server?.version}; the rules stand there and in functions.ts. */\nexport const builtinFunctions = \`\n${lines.join('\n')}\n\`;\n`,
);
console.log(`${names.length} names`);
