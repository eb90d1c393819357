import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createDatabase } from '../../test/support/postgres.js';
import { openDatabase } from './database.js';
import { givenHome } from './home.js';
import { openReplica } from './replica.js';
import { openSuccession } from './succession.js';

test('who starts in a state directory takes the one before it from those that live, and no other', async () => {
  const home = await createDatabase();
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-succession-'));
  const log = pino({ level: 'silent' });
  const start = async () => {
    const { id, succeed } = await openSuccession(directory);
    const database = openDatabase({ home: givenHome(home), log, first: succeed });
    await openReplica({ database, log, id }).beat();
    const living = (await database.query<{ id: string }>('select id from sallyport.replicas')).map((row) => row.id);
    await database.close();
    return { id, living };
  };
  try {
    const first = await start();
    expect(first.living).toEqual([first.id]);
    expect((await readFile(join(directory, 'replica'), 'utf8')).trim()).toBe(first.id);
    await home.sql("insert into sallyport.replicas (id) values ('elsewhere')");
    const second = await start();
    expect(second.id).not.toBe(first.id);
    expect(second.living.sort()).toEqual(['elsewhere', second.id].sort());
  } finally {
    await rm(directory, { recursive: true, force: true });
    await home.drop();
  }
});
