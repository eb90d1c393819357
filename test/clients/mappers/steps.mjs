import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Loads a package from the folder that probe.mjs made: it belongs to the test, and is none of this project's own. */
export const load = createRequire(join(process.env.CLIENT_PACKAGES, 'package.json'));

/** For drivers that take settings one by one; libpq's variables are set. */
export const place = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  user: process.env.PGUSER,
  password: process.env.PGPASSWORD,
  database: process.env.PGDATABASE,
};

const { password, user, ...rest } = place;
export const url = `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${rest.host}:${rest.port}/${rest.database}`;

/**
 * Does one step after the other, and prints what each of them gave as one JSON document: `{"step": result}`. A step that
 * fails gives `{"failed": message}`, and the next one is done all the same, so that one run shows everything.
 */
export async function run(steps) {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = (await step()) ?? null;
    } catch (error) {
      const messages = [];
      for (let each = error; each; each = each.cause ?? each.parent) messages.push(each.message);
      results[name] = { failed: messages.join(' <- ') };
    }
  }
  process.stdout.write(`${JSON.stringify(results)}\n`);
}

/** Does something in a folder that is gone afterwards. */
export async function inScratch(use) {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-mapper-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
