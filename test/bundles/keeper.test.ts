import type { Engine, Layer, Revision } from '#engine';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  keepPolicy,
  type KeeperOptions,
  openSource,
  type PolicyEvent,
  type PolicyKeeper,
  readStatus,
  requestOrder,
} from '../../bundles/index.js';
import { clientTest } from '../clients/support.js';
import {
  cleanUp,
  commit,
  compiler,
  type Files,
  git,
  goodPolicy,
  repository,
  scratch,
  type SigningKey,
  signingKey,
} from './support.js';

const keepers: PolicyKeeper[] = [];
afterEach(async () => {
  await Promise.all(keepers.splice(0).map((keeper) => keeper.close()));
});
afterAll(cleanUp);

/** Takes what the keeper gives it, and remembers the order. */
class Recorder implements Pick<Engine, 'prepare' | 'activate'> {
  readonly activated: string[] = [];
  current: Layer | undefined;
  readonly #layers = new Map<string, Layer>();
  refuses: string | undefined;

  prepare(id: string, layers: readonly Layer[]): Promise<Revision> {
    if (this.refuses === id) return Promise.reject(new Error('the engine cannot use this'));
    const [layer] = layers;
    if (layer !== undefined) this.#layers.set(id, layer);
    return Promise.resolve({ id } as Revision);
  }
  activate(revision: Revision): void {
    this.activated.push(revision.id);
    this.current = this.#layers.get(revision.id);
  }
}

interface Kept {
  readonly keeper: PolicyKeeper;
  readonly engine: Recorder;
  readonly errors: string[];
  /** Resolves with the first event that fits, of those past and to come. */
  event(fits: (event: PolicyEvent) => boolean): Promise<PolicyEvent>;
}

async function keep(folder: string, directory: string, more: Partial<KeeperOptions> = {}): Promise<Kept> {
  const engine = new Recorder();
  const errors: string[] = [];
  const events: PolicyEvent[] = [];
  const waiting = new Set<() => void>();
  const log = { info: () => {}, warn: () => {}, error: (_: object, message: string) => void errors.push(message) };
  const onEvent = (event: PolicyEvent) => {
    events.push(event);
    for (const look of [...waiting]) look();
  };
  const keeper = await keepPolicy({
    source: openSource({ git: { url: folder } }),
    engine,
    directory,
    log,
    onEvent,
    compiler: await compiler(),
    ...more,
  });
  keepers.push(keeper);
  const event = (fits: (event: PolicyEvent) => boolean) =>
    new Promise<PolicyEvent>((resolve) => {
      const look = () => {
        const found = events.find(fits);
        if (found !== undefined) {
          waiting.delete(look);
          resolve(found);
        }
      };
      waiting.add(look);
      look();
    });
  return { keeper, engine, errors, event };
}

const head = (folder: string) => `git:${git(folder, 'rev-parse', 'HEAD')}`;
const stateFolder = async () => path.join(await scratch(), 'policy');
const activated = (revision: string) => (event: PolicyEvent) =>
  event.type === 'activated' && event.revision === revision;
const refused = (revision: string) => (event: PolicyEvent) => event.type === 'refused' && event.revision === revision;
const another: Files = { 'data.yaml': 'secret_tables: [app.secrets, app.keys]\n' };
const broken: Files = { 'postgres.rego': 'package policy.postgres\n\ndeny contains {' };

describe('a commit', () => {
  test('is in force a moment later, and the status says so', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const { keeper, engine, event } = await keep(folder, directory);
    const first = head(folder);
    expect(engine.activated).toEqual([first]);
    await commit(folder, another, 'more secrets');
    const second = head(folder);
    expect(await event(activated(second))).toMatchObject({
      how: 'built',
      previous: first,
      commit: { subject: 'more secrets' },
    });
    expect(engine.current?.data).toEqual({ secret_tables: ['app.secrets', 'app.keys'] });
    const status = await keeper.refresh();
    expect(status).toMatchObject({
      revision: second,
      restored: false,
      commit: { author: 'Ada <ada@example.com>' },
      last: { ok: true, tests: { passed: 1 } },
    });
    expect(status.last?.commit_to_force_ms).toBeGreaterThan(0);
    expect(status.history.map(({ revision }) => revision)).toEqual([second, first]);
    expect(await readStatus(directory)).toEqual(JSON.parse(JSON.stringify(status)));
  });

  test.each<[string, Files, RegExp]>([
    ['does not compile', broken, /postgres\.rego:\d+/],
    ['fails its tests', { 'x_test.rego': 'package x_test\n\ntest_x if 1 == 2\n' }, /x_test\.rego:3: test_x failed/],
    [
      'breaks the contract',
      { 'x.rego': 'package policy.postgres\n\ndeni contains {"code": "x"} if input.operation.opaque\n' },
      /did you mean deny/,
    ],
  ])('that %s leaves the last good one in force, loudly; the next good one follows', async (_, files, message) => {
    const folder = await repository(goodPolicy);
    const first = head(folder);
    const { keeper, engine, errors, event } = await keep(folder, await stateFolder());
    await commit(folder, files, 'bad');
    const bad = head(folder);
    expect(await event(refused(bad))).toMatchObject({
      in_force: first,
      error: expect.stringMatching(message) as unknown,
    });
    expect(engine.activated).toEqual([first]);
    expect(await keeper.refresh()).toMatchObject({
      revision: first,
      last: { ok: false, revision: bad, error: expect.stringMatching(message) as unknown },
    });
    expect(errors.join()).toContain('the last good one stays in force');
    expect(errors).toHaveLength(1);
    git(folder, 'revert', '--no-edit', 'HEAD');
    await event(activated(head(folder)));
    expect((await keeper.refresh()).last?.ok).toBe(true);
  });

  test('that the engine cannot use is refused as well', async () => {
    const folder = await repository(goodPolicy);
    const { keeper, engine } = await keep(folder, await stateFolder());
    const first = head(folder);
    await commit(folder, another, 'next');
    engine.refuses = head(folder);
    expect(await keeper.refresh()).toMatchObject({
      revision: first,
      last: { ok: false, error: 'the engine cannot use this' },
    });
  });

  test('among many at once: the newest wins, and none overtakes it', async () => {
    const folder = await repository(goodPolicy);
    const { engine, event } = await keep(folder, await stateFolder());
    const order = [head(folder)];
    for (let number = 0; number < 12; number++) {
      await commit(folder, { 'data.yaml': `secret_tables: [t${number}]\n` }, `number ${number}`);
      order.push(head(folder));
    }
    await event(activated(order.at(-1) ?? ''));
    const positions = engine.activated.map((revision) => order.indexOf(revision));
    expect(positions).toEqual([...positions].sort((a, b) => a - b));
    expect(engine.activated.at(-1)).toBe(order.at(-1));
  });
});

describe('a restart', () => {
  test('uses what is on disk where the repository is broken, and recovers with it', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const first = head(folder);
    await (await keep(folder, directory)).keeper.close();
    await commit(folder, broken, 'bad');
    const { keeper, engine, event } = await keep(folder, directory);
    expect(engine.activated).toEqual([first]);
    expect(keeper.status()).toMatchObject({ revision: first, restored: true, last: { ok: false } });
    await commit(folder, { ...goodPolicy, ...another }, 'good again');
    await event(activated(head(folder)));
    expect(keeper.status().restored).toBe(false);
  });

  test('does so where the repository is gone altogether', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const first = head(folder);
    const before = await keep(folder, directory);
    const { answered } = before.keeper.status();
    await before.keeper.close();
    await rename(path.join(folder, '.git'), path.join(folder, '.gone'));
    const { keeper, engine } = await keep(folder, directory);
    expect(engine.activated).toEqual([first]);
    expect(keeper.status().last?.error).toMatch(/is not a git repository/);
    // How old it may be is counted from what was said to the process before.
    expect(keeper.status().answered).toBe(answered);
    expect(keeper.contact()).toMatchObject({ answered_ms: Date.parse(answered ?? '') });
    await keeper.close();
    expect((await readStatus(directory))?.answered).toBe(answered);
  });

  test('builds nothing where the commit was built before', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    await (await keep(folder, directory)).keeper.close();
    const { Compiler } = await import('../../bundles/index.js');
    const noOpa = await Compiler.create({ opa: () => Promise.reject(new Error('opa was asked for')) });
    const { engine } = await keep(folder, directory, { compiler: noOpa });
    expect(engine.activated).toEqual([head(folder)]);
  });

  test('trusts no bundle that was changed on disk', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    await (await keep(folder, directory)).keeper.close();
    const [name] = await readdir(path.join(directory, 'revisions'));
    await writeFile(path.join(directory, 'revisions', name ?? '', 'data.json'), '{"secret_tables":[]}');
    await commit(folder, broken, 'bad');
    await expect(keep(folder, directory)).rejects.toThrow(/postgres\.rego/);
  });

  test('with nothing at all does not start', async () => {
    const folder = await repository(broken);
    await expect(keep(folder, await stateFolder())).rejects.toThrow(/postgres\.rego:\d+/);
  });
});

describe('a rollback', () => {
  test('puts the one before into force, over restarts, until something newer is committed', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const first = head(folder);
    const before = await keep(folder, directory);
    await commit(folder, another, 'mistake');
    const second = head(folder);
    await before.keeper.refresh();
    expect(await requestOrder(directory, { action: 'rollback' })).toMatchObject({ ok: true, revision: first });
    expect(before.engine.activated).toEqual([first, second, first]);
    expect(before.engine.current?.data).toEqual({ secret_tables: ['app.secrets'] });
    expect(await before.keeper.refresh()).toMatchObject({
      revision: first,
      pinned: { revision: first, blocked: second },
    });
    await before.keeper.close();

    const after = await keep(folder, directory);
    expect(after.engine.activated).toEqual([first]);
    await commit(folder, broken, 'bad');
    expect(await after.keeper.refresh()).toMatchObject({ revision: first, pinned: { blocked: second } });
    await commit(folder, { ...goodPolicy, 'data.yaml': 'secret_tables: [third]\n' }, 'mended');
    const status = await after.keeper.refresh();
    expect(status.revision).toBe(head(folder));
    expect(status.pinned).toBeUndefined();
    expect(await readFile(path.join(directory, 'pin.json'), 'utf8').catch(() => 'gone')).toBe('gone');
  });

  test('with nothing before is answered no', async () => {
    const folder = await repository(goodPolicy);
    const { keeper, engine } = await keep(folder, await stateFolder());
    expect(await keeper.order({ action: 'rollback' })).toMatchObject({
      ok: false,
      error: expect.stringMatching(/no earlier revision/) as unknown,
    });
    expect(engine.activated).toHaveLength(1);
  });

  test('that no gateway answers fails, and leaves no request behind', async () => {
    const directory = await stateFolder();
    await expect(requestOrder(directory, { action: 'rollback' }, 100)).rejects.toThrow(
      /no gateway .* answered within 0\.1 s/,
    );
    expect(await readdir(directory)).toEqual([]);
  });

  test('of a bundle that is gone changes nothing', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const { keeper } = await keep(folder, directory);
    const first = head(folder);
    await commit(folder, another, 'next');
    await keeper.refresh();
    await rm(path.join(directory, 'revisions', first.replace(':', '-')), { recursive: true });
    expect(await keeper.order({ action: 'rollback' })).toMatchObject({ ok: false });
    expect(keeper.status()).toMatchObject({ revision: head(folder) });
    expect(keeper.status().pinned).toBeUndefined();
  });
});

describe('an order', () => {
  test('to promote puts into force what is tried, and the source decides again with something newer', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const first = head(folder);
    git(folder, 'checkout', '-q', '-b', 'next');
    await commit(folder, another, 'tried');
    const tried = head(folder);
    const candidates = path.join(directory, 'shadow');
    const source = openSource({ git: { url: folder, branch: 'next' } });
    const shadow = await keep(folder, candidates, { source, optional: true });
    expect(shadow.engine.activated).toEqual([tried]);

    const { keeper, engine } = await keep(folder, directory, { candidates });
    expect(await keeper.order({ action: 'promote' })).toMatchObject({ ok: true, revision: tried });
    expect(engine.activated).toEqual([first, tried]);
    expect(await keeper.refresh()).toMatchObject({ revision: tried, pinned: { how: 'promoted', blocked: first } });
    expect(await keeper.order({ action: 'promote' })).toMatchObject({ ok: false, error: expect.stringMatching(/in force already/) as unknown }); // prettier-ignore

    git(folder, 'checkout', '-q', 'main');
    git(folder, 'merge', '-q', '--ff-only', 'next');
    const merged = await keeper.refresh();
    expect(merged).toMatchObject({ revision: tried });
    expect(merged.pinned).toBeUndefined();
  });

  test('to promote is answered no where nothing is tried', async () => {
    const { keeper } = await keep(await repository(goodPolicy), await stateFolder());
    expect(await keeper.order({ action: 'promote' })).toMatchObject({ ok: false, error: expect.stringMatching(/policy\.shadow/) as unknown }); // prettier-ignore
  });

  test('to pin holds whatever is committed, over restarts, until it is taken back', async () => {
    const folder = await repository(goodPolicy);
    const directory = await stateFolder();
    const first = head(folder);
    const before = await keep(folder, directory);
    await commit(folder, another, 'second');
    await before.keeper.refresh();
    expect(await before.keeper.order({ action: 'pin', revision: 'none' })).toMatchObject({ ok: false });
    const named = first.slice('git:'.length, 12);
    expect(await before.keeper.order({ action: 'pin', revision: named })).toMatchObject({ ok: true, revision: first });
    await commit(folder, { 'data.yaml': 'secret_tables: [third]\n' }, 'third');
    expect(await before.keeper.refresh()).toMatchObject({ revision: first, pinned: { how: 'pinned' } });
    await before.keeper.close();

    const after = await keep(folder, directory);
    expect(after.engine.activated).toEqual([first]);
    expect(await requestOrder(directory, { action: 'unpin' })).toMatchObject({ ok: true });
    await after.event(activated(head(folder)));
    expect(after.keeper.status().pinned).toBeUndefined();
  });
});

const signatures = 'where signatures are asked for, what lies on disk is in force only with one';

describe(signatures, () => {
  const signed = (folder: string, { publicKey }: SigningKey) => ({
    source: openSource({ git: { url: folder }, signing: { keys: [publicKey] } }),
  });

  clientTest(signatures, 'and what is tried without one is not promoted', async () => {
    const folder = await repository(goodPolicy);
    const key = await signingKey();
    key.sign(folder, 'signed');
    const directory = await stateFolder();
    const candidates = path.join(directory, 'shadow');
    const { keeper, engine } = await keep(folder, directory, { candidates, ...signed(folder, key) });
    const first = head(folder);
    git(folder, 'checkout', '-q', '-b', 'next');
    await commit(folder, another, 'tried');
    const source = openSource({ git: { url: folder, branch: 'next' } });
    await keep(folder, candidates, { source, optional: true });
    expect(await keeper.order({ action: 'promote' })).toMatchObject({ ok: false, error: expect.stringMatching(/signed by none of/) as unknown }); // prettier-ignore
    expect(engine.activated).toEqual([first]);
    expect(keeper.status().pinned).toBeUndefined();
  });

  clientTest(signatures, 'and a key that was taken out takes what it signed along, at the next start', async () => {
    const folder = await repository(goodPolicy);
    const [lost, kept] = [await signingKey(), await signingKey()];
    lost.sign(folder, 'by a key that is lost');
    const directory = await stateFolder();
    const before = await keep(folder, directory, signed(folder, lost));
    await before.keeper.close();
    await expect(keep(folder, directory, signed(folder, kept))).rejects.toThrow(/is none of policy\.signing\.keys/);
  });

  clientTest(signatures, 'and is kept with it, though it was built before anybody asked', async () => {
    const folder = await repository(goodPolicy);
    const key = await signingKey();
    key.sign(folder, 'signed');
    const directory = await stateFolder();
    for (const more of [{}, signed(folder, key)]) await (await keep(folder, directory, more)).keeper.close();
    const revision = head(folder);
    await rename(path.join(folder, '.git'), path.join(folder, 'away'));
    const { keeper } = await keep(folder, directory, signed(folder, key));
    expect(keeper.status()).toMatchObject({ revision, restored: true });
  });
});

test('what is tried may have nothing at the start, and comes with the first commit', async () => {
  const folder = await repository(broken);
  const { keeper, event } = await keep(folder, await stateFolder(), { optional: true });
  expect(keeper.status()).toMatchObject({ last: { ok: false } });
  expect(keeper.status().revision).toBeUndefined();
  await commit(folder, { ...goodPolicy, ...another }, 'good');
  await event(activated(head(folder)));
});
