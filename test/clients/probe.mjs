// Whether a client that has to be installed first can be had; installs it into the cache of node_modules if so.
//
//   node test/clients/probe.mjs python|jdbc
//
// Exit code 0: it is there, and the last line says where. Anything else: it cannot be had on this machine.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cache = join(dirname(fileURLToPath(import.meta.url)), '../../node_modules/.cache/sallyport-clients');
const pythonPackages = ['psycopg[binary]==3.3.9', 'asyncpg==0.32.0', 'SQLAlchemy==2.1.9'];
const pgjdbc = '42.7.7';

const run = (command, parameters) => {
  const { status } = spawnSync(command, parameters, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new Error(`${command} ended with ${status}`);
};

/** Makes a folder whole or not at all: two runs may want it at the same time. */
const once = (name, make) => {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, 'new-'));
  try {
    make(scratch);
    if (!existsSync(folder)) renameSync(scratch, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return folder;
};

const makers = {
  // Packages in a folder, not a virtual environment: that could not be moved into its place.
  python: () => {
    const folder = once(`python-${pythonPackages.join('-').replace(/[^\w.-]+/g, '_')}`, (scratch) =>
      run('python3', [
        '-m',
        'pip',
        'install',
        '--quiet',
        '--only-binary',
        ':all:',
        '--target',
        scratch,
        ...pythonPackages,
      ]),
    );
    run('python3', [
      '-c',
      `import sys; sys.path.insert(0, ${JSON.stringify(folder)}); import psycopg, asyncpg, sqlalchemy`,
    ]);
    return folder;
  },
  jdbc: () => {
    if (process.env.SALLYPORT_TEST_JDBC !== '1') throw new Error('SALLYPORT_TEST_JDBC=1 asks for this test');
    run('java', ['-version']);
    const folder = once(`jdbc-${pgjdbc}`, (scratch) =>
      run('mvn', [
        '-q',
        '-B',
        'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy',
        `-Dartifact=org.postgresql:postgresql:${pgjdbc}`,
        `-DoutputDirectory=${scratch}`,
      ]),
    );
    const jar = readdirSync(folder).find((file) => file.endsWith('.jar'));
    if (jar === undefined) throw new Error(`${folder} holds no jar`);
    return join(folder, jar);
  },
};

try {
  const make = makers[process.argv[2]];
  if (make === undefined) throw new Error(`there is no client ${process.argv[2]}`);
  process.stdout.write(`${make()}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
