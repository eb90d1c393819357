import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import type { Provider } from '../../gateway/config/index.js';
import { IdentityError, StateError } from '../../gateway/errors.js';
import { createIdentity, openSpent, spentChores, type Identities, type Spent } from '../../gateway/identity/index.js';
import { openDatabase, type Database } from '../../gateway/state/database.js';
import { givenHome } from '../../gateway/state/home.js';
import { createIdentityProvider, type IdentityProvider } from '../support/idp.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** Tokens of a provider that are good once, at two gateways over one state. */

let folder: string;
let idp: IdentityProvider;
let home: TestDatabase;
let databases: readonly [Database, Database];
const opened: Identities[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-single-use-'));
  idp = await createIdentityProvider();
  await idp.writeJwks(join(folder, 'jwks.json'));
  home = await createDatabase();
  const open = () => openDatabase({ home: givenHome(home), log: pino({ level: 'silent' }), wait_ms_max: 20_000 });
  databases = [open(), open()];
  await Promise.all(databases.map((database) => database.ready(60_000)));
}, 90_000);
afterEach(() => {
  for (const identities of opened.splice(0)) identities.close();
});
afterAll(async () => {
  for (const database of databases ?? []) await database.close();
  await home?.drop();
  await rm(folder, { recursive: true, force: true });
});

function gateway(spent: Spent | undefined, changes: Partial<Provider> = {}): Identities {
  const claims = {
    groups: 'groups',
    roles: 'roles',
    purpose: 'purpose',
    kind: 'kind',
    prompt: 'prompt',
    attributes: [],
  };
  const identities = createIdentity({
    providers: [
      {
        ...{ name: 'company', issuer: idp.issuer, audience: [idp.audience], algorithms: ['ES256'], claims },
        ...{ jwks: { file: join(folder, 'jwks.json') }, kindDefault: 'service', singleUse: true, ...changes },
      },
    ],
    ...{ tokenLifetimeMax_ms: 3_600_000, clockSkew_ms: 30_000, spent },
  });
  opened.push(identities);
  return identities;
}

const said = (identities: Identities, token: string): Promise<string> =>
  identities.identify(token).then(
    ({ principal }) => `let in as ${principal.subject}`,
    (error: unknown) => (error instanceof IdentityError ? error.reason : String(error)),
  );

describe('a token that is good once', () => {
  test('is refused when it comes again, at whichever gateway over the state', async () => {
    const [one, two] = databases.map((database) => gateway(openSpent(database)));
    const token = await idp.issueToken();
    expect(await said(one!, token)).toBe('let in as agent:test');
    expect(await said(one!, token)).toBe('replayed');
    expect(await said(two!, token)).toBe('replayed');
    expect(await said(two!, await idp.issueToken())).toBe('let in as agent:test');
  });

  test('lets one in of many that come with it at once', async () => {
    const gateways = databases.map((database) => gateway(openSpent(database)));
    const token = await idp.issueToken();
    const all = [...gateways, ...gateways, ...gateways];
    const answers = await Promise.all(all.map((identities) => said(identities, token)));
    expect(answers.filter((answer) => answer !== 'replayed')).toEqual(['let in as agent:test']);
  });

  test('has to have an id, which is the whole of what it is told by', async () => {
    const identities = gateway(openSpent(databases[0]));
    expect(await said(identities, await idp.issueToken({ claims: { jti: undefined } }))).toBe('claims');
    expect(await said(identities, await idp.issueToken({ claims: { jti: '' } }))).toBe('claims');
    expect(await said(identities, await idp.issueToken({ claims: { jti: 7 } }))).toBe('claims');
    expect(await said(identities, await idp.issueToken({ claims: { jti: 'one' } }))).toBe('let in as agent:test');
    const again = await idp.issueToken({ claims: { jti: 'one' }, subject: 'agent:other' });
    expect(await said(identities, again)).toBe('replayed');
  });

  test('is not used up by whoever cannot sign in with it', async () => {
    const identities = gateway(openSpent(databases[0]));
    const elsewhere = await idp.issueToken({ claims: { jti: 'two' }, audience: 'somebody else' });
    expect(await said(identities, elsewhere)).toBe('audience');
    const token = await idp.issueToken({ claims: { jti: 'two' } });
    expect(await said(identities, `${token.slice(0, -4)}AAAA`)).toBe('signature');
    expect(await said(identities, token)).toBe('let in as agent:test');
  });

  test('lets nobody in where it cannot be known whether it came before', async () => {
    const token = await idp.issueToken();
    expect(await said(gateway(undefined), token)).toBe('single_use');
    const out: Spent = { take: async () => Promise.reject(new StateError('the state database cannot be used')) };
    await expect(gateway(out).identify(token)).rejects.toThrow(StateError);
  });

  test('is so for a provider that says so alone', async () => {
    const identities = gateway(openSpent(databases[0]), { singleUse: false });
    const token = await idp.issueToken();
    expect(await said(identities, token)).toBe('let in as agent:test');
    expect(await said(identities, token)).toBe('let in as agent:test');
  });
});

describe('what is remembered', () => {
  test('is forgotten once it is over for good, and not before', async () => {
    const [database] = databases;
    const spent = openSpent(database);
    const now_ms = Date.now();
    await spent.take('issuer', 'long over', now_ms - 3_600_000);
    await spent.take('issuer', 'just over', now_ms - 60_000);
    await expect(spent.take('issuer', 'long over', now_ms)).rejects.toMatchObject({ reason: 'replayed' });
    for (const { text, values } of spentChores) await database.query(text, [...values, 1_000]);
    await expect(spent.take('issuer', 'just over', now_ms)).rejects.toMatchObject({ reason: 'replayed' });
    await spent.take('issuer', 'long over', now_ms - 3_600_000);
  });

  test('has a bound: beyond it nobody more signs in so', async () => {
    const [database] = databases;
    await database.query(
      `insert into sallyport.assertions (key, expires) select 'filler ' || n, now() + '1 hour' from generate_series(1, 100000) n`,
    );
    try {
      await expect(openSpent(database).take('issuer', 'one more', Date.now())).rejects.toMatchObject({
        reason: 'too_many',
      });
    } finally {
      await database.query(`delete from sallyport.assertions where key like 'filler %'`);
    }
  });
});
