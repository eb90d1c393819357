// Whether a client that has to be installed first can be had; installs it into the cache of node_modules if so.
//
//   node test/clients/probe.mjs python|python-mcp|python-ssh|ansible|jdbc|mappers|prisma|python-mappers|hibernate|crane|cosign|helm|kubernetes-types|undici|python-requests
//
// Exit code 0: it is there, and the last line says where. Anything else: it cannot be had on this machine.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const cache = join(here, '../../node_modules/.cache/sallyport-clients');
const pythonPackages = ['psycopg[binary]==3.3.9', 'asyncpg==0.32.0', 'SQLAlchemy==2.1.9'];
const pythonMappers = ['psycopg[binary]==3.3.9', 'SQLAlchemy==2.1.9', 'alembic==1.20.1', 'Django==5.2.19'];
const pythonRequests = ['requests==2.34.2'];
const pythonSsh = ['paramiko==5.1.0', 'asyncssh==2.24.1'];
const nodeMappers = [
  'pg@8.23.1',
  'drizzle-orm@0.45.4',
  'drizzle-kit@0.31.11',
  'knex@3.3.0',
  'typeorm@1.1.1',
  'reflect-metadata@0.2.2',
  'sequelize@6.37.8',
];
const prismaPackages = ['prisma@7.10.1', '@prisma/client@7.10.0', '@prisma/adapter-pg@7.10.1'];
const pgjdbc = '42.7.7';
const hibernate = '7.4.15.Final';
const crane = 'v0.20.6';
const cosign = 'v3.1.3';
const helm = 'v3.22.0';

const run = (command, parameters, options = {}) => {
  const { status } = spawnSync(command, parameters, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
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

const nameOf = (client, packages) => `${client}-${packages.join('-').replace(/[^\w.-]+/g, '_')}`;

/** Packages in a folder, not a virtual environment: that could not be moved into its place. */
const pip = (client, packages, modules) => {
  const folder = once(nameOf(client, packages), (scratch) =>
    run('python3', ['-m', 'pip', 'install', '--quiet', '--only-binary', ':all:', '--target', scratch, ...packages]),
  );
  run('python3', ['-c', `import sys; sys.path.insert(0, ${JSON.stringify(folder)}); import ${modules}`]);
  return folder;
};

const go = (name, version, path) => {
  run('go', ['version']);
  const folder = once(`${name}-${version}`, (scratch) =>
    run('go', ['install', `${path}@${version}`], {
      env: { ...process.env, GOBIN: scratch, GOFLAGS: '-buildvcs=false' },
    }),
  );
  return join(folder, name);
};

/** Without install scripts: what wants to download more by itself is not to be had. */
const npm = (client, packages, then = () => undefined) =>
  once(nameOf(client, packages), (scratch) => {
    writeFileSync(join(scratch, 'package.json'), '{"private":true}');
    run('npm', ['install', '--silent', '--ignore-scripts', '--no-audit', '--no-fund', '--save-exact', ...packages], {
      cwd: scratch,
    });
    then(scratch);
  });

/** Prisma's client is made of its schema. The name of an engine that it never starts keeps the command from downloading one. */
const generatePrismaClient = (folder) => {
  copyFileSync(join(here, 'mappers/schema.prisma'), join(folder, 'schema.prisma'));
  run('node', ['node_modules/prisma/build/index.js', 'generate', '--schema', 'schema.prisma'], {
    cwd: folder,
    env: { ...process.env, CI: '1', CHECKPOINT_DISABLE: '1', PRISMA_SCHEMA_ENGINE_BINARY: process.execPath },
  });
};

/** What Maven downloads is much, and Java slow to start: only for whoever wants it. */
const askedFor = () => {
  if (process.env.SALLYPORT_TEST_JDBC !== '1') throw new Error('SALLYPORT_TEST_JDBC=1 asks for this test');
};

const makers = {
  python: () => pip('python', pythonPackages, 'psycopg, asyncpg, sqlalchemy'),
  'python-mcp': () => pip('python-mcp', ['mcp==2.3.0'], 'mcp'),
  'python-mappers': () => pip('python-mappers', pythonMappers, 'psycopg, sqlalchemy, alembic, django'),
  'python-ssh': () => pip('python-ssh', pythonSsh, 'paramiko, asyncssh'),
  'python-requests': () => pip('python-requests', pythonRequests, 'requests'),
  /** Node's fetch is made of it, without what asks through a proxy. */
  undici: () => npm('undici', ['undici@7.30.2']),
  ansible: () => pip('ansible', ['ansible-core==2.19.14'], 'ansible'),
  mappers: () => npm('mappers', nodeMappers),
  prisma: () => npm('prisma', prismaPackages, generatePrismaClient),
  hibernate: () => {
    askedFor();
    run('java', ['-version']);
    const folder = once(`hibernate-${hibernate}-${pgjdbc}`, (scratch) => {
      const dependency = (group, name, version) =>
        `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`;
      writeFileSync(
        join(scratch, 'pom.xml'),
        `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>check</groupId><artifactId>check</artifactId><version>1</version><dependencies>
${dependency('org.hibernate.orm', 'hibernate-core', hibernate)}
${dependency('org.postgresql', 'postgresql', pgjdbc)}
</dependencies></project>`,
      );
      const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
      run('mvn', ['-q', '-B', '-f', scratch, goal, `-DoutputDirectory=${join(scratch, 'jars')}`]);
    });
    return join(folder, 'jars/*');
  },
  /** A client of registries, and a registry, in one program. */
  crane: () => go('crane', crane, 'github.com/google/go-containerregistry/cmd/crane'),
  /** Its first build takes some minutes. */
  cosign: () => go('cosign', cosign, 'github.com/sigstore/cosign/v3/cmd/cosign'),
  helm: () => go('helm', helm, 'helm.sh/helm/v3/cmd/helm'),
  /** Kubernetes' own types in Go, of test/kube/typed: what the table of messages is compared with, and a client that writes protobuf. */
  'kubernetes-types': () => {
    run('go', ['version']);
    const sources = join(here, '../kube/typed');
    const sum = createHash('sha256');
    for (const file of readdirSync(sources).sort()) sum.update(file).update(readFileSync(join(sources, file)));
    const folder = once(`kubernetes-types-${sum.digest('hex').slice(0, 16)}`, (scratch) =>
      run('go', ['build', '-buildvcs=false', '-o', join(scratch, 'typed'), '.'], { cwd: sources }),
    );
    return join(folder, 'typed');
  },
  jdbc: () => {
    askedFor();
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
