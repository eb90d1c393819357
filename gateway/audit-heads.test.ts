import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { createDatabase, type TestDatabase } from '../test/support/postgres.js';
import { fileHeadStore, openAudit, openSigner, toldHeadStore, verifyAudit } from './audit/index.js';
import { SharedHeads, sharedHeads } from './audit-heads.js';
import { openDatabase, type Database } from './state/database.js';
import { givenHome } from './state/home.js';

/** Signed heads in the state that replicas share. */

let home: TestDatabase;
let database: Database;
let directory: string;
let file: string;
const said: { level: number; msg: string }[] = [];
const log = pino({}, { write: (line: string) => said.push(JSON.parse(line) as { level: number; msg: string }) });

beforeAll(async () => {
  home = await createDatabase();
  database = openDatabase({ home: givenHome(home), log });
  await database.ready(30_000);
  directory = mkdtempSync(join(tmpdir(), 'sallyport-heads-'));
  file = join(directory, 'audit.jsonl');
});
afterAll(async () => {
  await database?.close();
  await home?.drop();
  rmSync(directory, { recursive: true });
});

/** One life of a gateway, as far as its audit goes. */
async function live(records: number): Promise<void> {
  const shared = new SharedHeads({ database, directory, file, log });
  const heads = toldHeadStore(fileHeadStore(directory), (ledger) => shared.keep(ledger));
  const seal = { signer: await openSigner({ directory }), heads };
  const audit = await openAudit({ sinks: [{ file }], durability: 'disk', seal });
  for (let id = 1; id <= records; id += 1) audit.write({ kind: 'policy', fields: {} });
  await audit.close();
  await shared.close();
}

async function verify() {
  const elsewhere = await sharedHeads({ database, directory, file });
  return verifyAudit([file], { keys: [], ledger: await fileHeadStore(directory).read(), elsewhere });
}

const rows = () => home.sql('select store from sallyport.audit_heads');

test('what was signed last is there; older files and an older state directory that are put back show, and go on to show', async () => {
  await live(3);
  const heads = join(directory, 'audit-heads.json');
  const [before, ledger] = [readFileSync(file), readFileSync(heads)];
  await live(3);
  expect((await verify()).findings).toEqual([]);
  expect(await rows()).toHaveLength(1);

  writeFileSync(file, before);
  writeFileSync(heads, ledger);
  expect((await verify()).findings).toEqual([
    expect.objectContaining({ kind: 'writer_missing', message: expect.stringContaining('by the shared state, as of') }),
  ]);

  // The gateway goes on from there: what is known stays beside what it signs now.
  await live(2);
  expect(said.filter(({ level }) => level >= 50).map(({ msg }) => msg)).toContainEqual(
    expect.stringContaining('older files were put back'),
  );
  expect(await rows()).toHaveLength(2);
  await live(20);
  expect((await verify()).findings.map(({ kind }) => kind)).toContain('writer_missing');
});
