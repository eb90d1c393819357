import { createEngine, noUsage, type Input } from '#engine';
import { afterAll, expect, test } from '@jest/globals';
import path from 'node:path';
import { keepPolicy, openSource } from '../../bundles/index.js';
import { packageRoot } from '../../bundles/package-root.js';
import { cleanUp, commit, compiler, goodPolicy, repository, scratch } from './support.js';

afterAll(cleanUp);

const log = { info: () => {}, warn: () => {}, error: () => {} };

function input(relation: string): Input {
  return {
    version: 1,
    time: '2026-11-22T09:00:00.000Z',
    principal: {
      subject: 'agent:a',
      issuer: 'https://idp.example',
      kind: 'agent',
      groups: ['agents'],
      roles: ['readonly'],
      attributes: {},
      token: { expires: '2026-11-22T10:00:00.000Z' },
    },
    session: { id: 's', started: '2026-11-22T09:00:00.000Z', client: { address: '127.0.0.1' }, rows: 0, taint: [] },
    target: { name: 'orders', protocol: 'postgres', labels: {} },
    operation: {
      stage: 'execute',
      action: 'read',
      resources: [{ type: 'relation', name: relation, access: 'read' }],
      opaque: false,
      hash: 'x',
    },
    usage: noUsage,
  };
}

test('a commit changes what the engine decides, and the code leads to the rule', async () => {
  const folder = await repository(goodPolicy);
  const engine = createEngine();
  const directory = path.join(await scratch(), 'policy');
  const keeper = await keepPolicy({
    source: openSource({ git: { url: folder } }),
    engine,
    directory,
    log,
    compiler: await compiler(),
  });
  try {
    expect(engine.decide(input('app.keys'))).toMatchObject({ outcome: 'allow', revision: keeper.status().revision });
    expect(engine.decide(input('app.secrets'))).toMatchObject({
      outcome: 'deny',
      reasons: [{ code: 'secrets_denied', title: 'No secrets' }],
    });
    const hash = await commit(folder, { 'data.yaml': 'secret_tables: [app.keys]\n' }, 'keys instead');
    await keeper.refresh();
    expect(engine.decide(input('app.keys'))).toMatchObject({ outcome: 'deny', revision: `git:${hash}` });
    expect(engine.decide(input('app.secrets'))).toMatchObject({ outcome: 'allow' });
    await keeper.order({ action: 'rollback' });
    expect(engine.decide(input('app.keys')).outcome).toBe('allow');
  } finally {
    await keeper.close();
  }
});

test('codes from METADATA arrive in the reasons', async () => {
  const folder = await repository({
    'a.rego': `package policy.postgres

# METADATA
# title: Everybody reads
# custom: {code: reads}
allow contains {"message": "because"} if input.operation.action == "read"
`,
  });
  const engine = createEngine();
  const directory = path.join(await scratch(), 'policy');
  const source = openSource({ directory: folder });
  const keeper = await keepPolicy({ source, engine, directory, log, compiler: await compiler() });
  try {
    expect(engine.decide(input('app.a'))).toMatchObject({
      outcome: 'allow',
      reasons: [{ code: 'reads', title: 'Everybody reads', message: 'because' }],
    });
  } finally {
    await keeper.close();
  }
});

test('the policy that Sallyport ships keeps its own contract', async () => {
  const source = openSource({ directory: path.join(packageRoot, 'rego', 'policy') });
  const { layer } = await (await compiler()).build(await source.read());
  expect(layer.manifest.packages).toContain('postgres');
  expect(layer.manifest.reads['postgres']).not.toContain('');
  const engine = createEngine();
  engine.activate(await engine.prepare('directory:shipped', [layer]));
  expect(engine.decide(input('app.a')).reasons.length).toBeGreaterThan(0);
});
