import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestApi, type TestApi } from '../../test/support/api.js';
import { publishable, publishedLimits, type PublishedReport } from '../replay/index.js';
import { ReplayShelf } from '../replay/shelf.js';
import { emptyTally, type Group } from '../replay/tally.js';

let api: TestApi;
let now_ms = Date.now();
beforeAll(async () => {
  api = await startTestApi({ now: () => now_ms, replays: { reports_max: 3, age_ms_max: 3_600_000 } });
});
afterAll(() => api?.close());

const hostile = '<img src=x onerror=alert(1)>\u202e';
const group: Group = { kind: 'mask_lost', rule: hostile, on: 'app.customers.email', principal: 'agent:a', target: 'orders', count: 2, example: 'd-1' }; // prettier-ignore
const report = (more: object = {}) => ({
  ...{ from: 'main', to: 'HEAD', tally: { ...emptyTally, operations: 3, changed: 2, groups: [group] } },
  ...{ loosened: true, meant: [], unseen: ['usage'], duration_ms: 12.5 },
  ...more,
});
const revisions = { before: 'git:1', after: 'git:2' };
const good = (): PublishedReport => publishable(report(), revisions);

const as = async (...groups: string[]) => ({ authorization: `Bearer ${await api.idp.issueToken({ subject: `of:${groups.join()}`, groups })}` }); // prettier-ignore
const publish = async (body: unknown, ...groups: string[]) =>
  api.call('/v1/replays', { method: 'POST', headers: await as(...groups), body });
const listed = async () => (await api.call('/v1/replays', { headers: await as('audit') })).json<{ replays: Record<string, unknown>[] }>().replays; // prettier-ignore

describe('reports of replays', () => {
  test('are published by whoever may, recorded before, and shown to auditors as they are', async () => {
    const sent = await publish(good(), 'ci');
    expect(sent.status).toBe(201);
    const { id } = sent.json<{ id: string }>();
    expect(await listed()).toMatchObject([
      {
        id,
        from: 'main',
        to: 'HEAD',
        operations: 3,
        changed: 2,
        loosened: true,
        meant: false,
        by: { subject: 'of:ci' },
      },
    ]);
    const shown = (await api.call(`/v1/replays/${id}`, { headers: await as('audit') })).json();
    expect(shown).toMatchObject({ id, report: { ...good(), tally: { groups: [{ rule: hostile }] } } });
    expect((await api.records()).at(-1)).toMatchObject({ kind: 'administrator', act: 'replay_publish', report: id, after: 'git:2' }); // prettier-ignore
  });

  test('are published and read by nobody else: who may publish may not look', async () => {
    expect((await api.call('/v1/replays', { method: 'POST', body: good() })).status).toBe(401);
    expect((await publish(good(), 'audit')).status).toBe(403);
    expect((await publish(good(), 'agents')).status).toBe(403);
    for (const path of ['/v1/replays', '/v1/replays/replay-000000000-0000000000000000'])
      for (const groups of ['ci', 'agents'])
        expect((await api.call(path, { headers: await as(groups) })).status).toBe(403);
  });

  test('have their shape and no other', async () => {
    const { tally, ...rest } = good();
    for (const wrong of [
      {},
      { ...good(), html: '<b>' },
      { ...good(), from: 'x'.repeat(257) },
      { ...good(), meant: Array.from({ length: 21 }, () => 'why') },
      { ...rest, tally: { ...tally, groups: [{ ...group, kind: 'onclick' }] } },
      { ...rest, tally: { ...tally, groups: [{ ...group, count: -1 }] } },
      { ...rest, tally: { ...tally, groups: [{ ...group, link: 'javascript:alert(1)' }] } },
      { ...rest, tally: { ...tally, beyond: { mask_lost: '1' } } },
      { ...rest, tally: { ...tally, groups: Array.from({ length: 1_001 }, () => ({ ...group, rule: 'r' })) } },
    ])
      expect((await publish(wrong, 'ci')).status).toBe(400);
    expect((await publish('x'.repeat(publishedLimits.report_bytes_max + 1), 'ci')).status).toBe(413);
    expect(await listed()).toHaveLength(1);
  });

  test('are looked for by their names alone, wherever a name leads', async () => {
    for (const name of [
      '..%2f..%2fetc%2fpasswd',
      '..',
      'replay-000000000-0000000000000000',
      '__proto__',
      'constructor',
    ])
      expect((await api.call(`/v1/replays/${name}`, { headers: await as('audit') })).status).toBe(404);
  });

  test('are a few, and go with time; what was kept is there after a restart, and nothing else', async () => {
    for (let number = 0; number < 3; number++) {
      now_ms += 1_000;
      expect((await publish({ ...good(), to: `later-${number}` }, 'ci')).status).toBe(201);
    }
    expect((await listed()).map(({ to }) => to)).toEqual(['later-2', 'later-1', 'later-0']);
    const folder = join(api.folder, 'replays');
    expect(await readdir(folder)).toHaveLength(3);
    await writeFile(join(folder, 'replay-000000000-0000000000000000.json'), '{"id":"../x"}\n');
    const again = new ReplayShelf(api.folder, () => now_ms, { reports_max: 2 });
    expect((await again.list()).map(({ to }) => to)).toEqual(['later-2', 'later-1']);
    expect(await readdir(folder)).toHaveLength(2);
    const later = new ReplayShelf(api.folder, () => now_ms + 3_600_001, { age_ms_max: 3_600_000 });
    expect(await later.list()).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });
});

test('no publisher pushes out what others have sent', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'shelf-'));
  try {
    let time_ms = 1_790_000_000_000;
    const shelf = new ReplayShelf(folder, () => (time_ms += 1_000), { reports_max: 5, reports_each_max: 3 });
    const send = (subject: string, to: string) => shelf.add(shelf.name(), { ...good(), to }, { issuer: 'i', subject });
    await send('people', 'one of ours');
    for (let number = 0; number < 8; number++) await send('robot', `robot-${number}`);
    expect((await shelf.list()).map(({ to }) => to)).toEqual(['robot-7', 'robot-6', 'robot-5', 'one of ours']);
    // All together are too many: whoever has the most loses the oldest.
    await send('others', 'theirs');
    await send('others', 'theirs too');
    expect((await shelf.list()).map(({ to }) => to)).toEqual([
      'theirs too',
      'theirs',
      'robot-7',
      'robot-6',
      'one of ours',
    ]);
    expect(await readdir(join(folder, 'replays'))).toHaveLength(5);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('a report that is too large', () => {
  const many = (count: number, kind: Group['kind'], text = 'r') =>
    Array.from({ length: count }, (_, number) => ({ ...group, kind, rule: `${text}${number}` }));

  test('is shortened to what is taken, keeps what loosens longest, and says so', async () => {
    const groups = [...many(900, 'mask_lost'), ...many(300, 'mask_added')];
    const published = publishable(report({ tally: { ...emptyTally, operations: 1, groups } }), revisions);
    expect(published.shortened).toEqual({ groups: 200, texts: 0 });
    expect(published.tally.beyond).toEqual({ mask_added: 400 });
    expect(published.tally.groups.filter(({ kind }) => kind === 'mask_lost')).toHaveLength(900);
    expect((await publish(published, 'ci')).status).toBe(201);
  });

  test('fits, whatever its texts are', async () => {
    const wide = '\u0001'.repeat(300);
    const groups = many(1_000, 'mask_lost', wide).map((one) => ({
      ...one,
      principal: wide,
      on: wide,
      target: wide,
      example: `😀${wide}`,
    }));
    const published = publishable(report({ from: wide, meant: Array.from({ length: 30 }, () => wide), tally: { ...emptyTally, operations: 1, groups } }), revisions); // prettier-ignore
    expect(Buffer.byteLength(JSON.stringify(published))).toBeLessThan(publishedLimits.report_bytes_max);
    expect(published.shortened.groups).toBeGreaterThan(0);
    expect(published.tally.groups.length + published.shortened.groups).toBe(1_000);
    expect((await publish(published, 'ci')).status).toBe(201);
    const cutInHalf = `${'a'.repeat(254)}😀😀`;
    expect(publishable(report({ from: cutInHalf }), revisions).from).toBe(`${'a'.repeat(254)}\ufffd…`);
  });
});
