import { transformFile } from '@swc/core';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/**
 * One Postgres for a whole run of the tests, started when the first test asks for it: a run that needs none pays nothing.
 * It belongs to Jest's own process, which outlives its workers; they ask by HTTP on the loopback (postgres.ts).
 *
 * Jest loads this file without transforming it. The sources that start the server are TypeScript, and what was built of
 * them may be older than they are, so they are translated here.
 */
export default async function setUp() {
  let starting;
  const path = `/${randomBytes(16).toString('hex')}`;
  const broker = createServer((request, response) => {
    // A connection kept alive may be closed by this side just as a test asks again on it: each question has its own.
    response.setHeader('connection', 'close');
    if (request.url !== path) {
      response.writeHead(404).end();
      return;
    }
    starting ??= startPostgres();
    starting.then(
      ({ host, port, user, password }) => response.end(JSON.stringify({ host, port, user, password })),
      (error) => response.writeHead(500).end(String(error?.message ?? error)),
    );
  });
  await new Promise((settle) => broker.listen(0, '127.0.0.1', settle));
  broker.unref();
  process.env.SALLYPORT_TEST_POSTGRES = `http://127.0.0.1:${broker.address().port}${path}`;

  globalThis.sallyportTestTearDown = async () => {
    broker.closeAllConnections();
    broker.close();
    const server = await starting?.catch(() => undefined);
    await server?.stop();
  };
}

async function startPostgres() {
  const { startEmbeddedPostgres, throwawaySettings } = await loadEmbedded();
  return startEmbeddedPostgres({
    password: randomBytes(12).toString('hex'),
    // What the planner knows changes when a test says so, not in between.
    settings: { ...throwawaySettings, max_connections: 300, autovacuum: 'off' },
  });
}

async function loadEmbedded() {
  const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
  const cache = join(root, 'node_modules/.cache');
  await mkdir(cache, { recursive: true });
  // Below node_modules, so that imports of packages, and the search for the binaries, go the same way as from the sources.
  const scratch = await mkdtemp(join(cache, 'sallyport-test-'));
  try {
    await mkdir(join(scratch, 'gateway/state'), { recursive: true });
    await writeFile(join(scratch, 'package.json'), '{"type":"module"}');
    const state = (await readdir(join(root, 'gateway/state'))).filter(
      (name) => name.endsWith('.ts') && !name.endsWith('.test.ts'),
    );
    for (const name of ['gateway/errors.ts', ...state.map((file) => `gateway/state/${file}`)]) {
      const { code } = await transformFile(join(root, name), {
        swcrc: false,
        jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
        module: { type: 'es6' },
      });
      await writeFile(join(scratch, name.replace(/\.ts$/, '.js')), code);
    }
    return await import(pathToFileURL(join(scratch, 'gateway/state/embedded.js')).href);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
