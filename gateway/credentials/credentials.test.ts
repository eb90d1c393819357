import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { pino } from 'pino';
import { postgres } from '../../test/config/support.js';
import { startVault, type TestVault } from '../../test/support/vault.js';
import { loadConfig } from '../config/index.js';
import type { Target } from '../protocol.js';
import { openTargets, type Targets } from './index.js';

/** Where credentials come from, and what becomes of a target when they change. */

const patience_ms = 30_000;
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end_ms = Date.now() + patience_ms; !(await holds()); await setTimeout(5))
    if (Date.now() > end_ms) throw new Error(`it did not become so: ${String(holds)}`);
}

let folder: string;
let vault: TestVault;
const opened: Targets[] = [];
let logged: string;

beforeAll(async () => {
  vault = await startVault();
});
afterAll(() => vault?.close());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-credentials-'));
  logged = '';
  vault.asked.length = 0;
  vault.fails(undefined);
  Object.assign(vault.final, { leases: false, tokens: false });
});
afterEach(async () => {
  for (const targets of opened.splice(0)) targets.close();
  await rm(folder, { recursive: true, force: true });
});

const log = pino({ level: 'debug' }, { write: (line: string) => void (logged += line) });
const protocols = [postgres];
const head = `identity: {providers: [{name: a, type: oidc, issuer: "https://idp.example", audience: b}]}
policy: {directory: .}
`;
const target = (password: string, user = 'gateway') => `targets:
  - name: orders
    protocol: postgres
    upstream:
      host: 127.0.0.1
      database: shop
      user: ${user}
      password: ${password}
`;
const vaultAt = (auth: string) => `vault: {address: "${vault.address}", auth: ${auth}}\n`;

async function openAll(source: string): Promise<Targets> {
  const file = join(folder, 'sallyport.yaml');
  await writeFile(file, head + source);
  const config = await loadConfig(file, { env: {}, protocols });
  const targets = await openTargets({ ...config, log });
  opened.push(targets);
  return targets;
}

async function open(source: string): Promise<Target> {
  const found = (await openAll(source)).find('postgres', 'orders');
  if (found === undefined) throw new Error('the target is missing');
  return found;
}

const passwordOf = ({ upstream }: Target) => (upstream as { readonly password?: string } | undefined)?.password;
const userOf = ({ upstream }: Target) => (upstream as { readonly user?: string } | undefined)?.user;

describe('a file', () => {
  test('is read again when it was written over', async () => {
    await writeFile(join(folder, 'secret'), 'first\n');
    const orders = await open(target('{file: secret}'));
    const before = orders.upstream;
    expect(passwordOf(orders)).toBe('first');
    expect(orders.upstream).toBe(before);
    await writeFile(join(folder, 'secret'), 'second\n');
    await until(() => passwordOf(orders) === 'second');
    expect((before as { password: string }).password).toBe('first');
  });

  test('is found behind links that lead elsewhere, as Kubernetes replaces what it mounts', async () => {
    for (const [name, content] of [
      ['one', 'first'],
      ['two', 'second'],
    ] as const) {
      await mkdir(join(folder, name));
      await writeFile(join(folder, name, 'password'), content);
    }
    await symlink('one', join(folder, '..data'));
    await symlink(join('..data', 'password'), join(folder, 'password'));
    const orders = await open(target('{file: password}'));
    expect(passwordOf(orders)).toBe('first');
    await symlink('two', join(folder, '..data_tmp'));
    await rename(join(folder, '..data_tmp'), join(folder, '..data'));
    await until(() => passwordOf(orders) === 'second');
  });

  test('that is gone for a while leaves what it held, and is warned of', async () => {
    await writeFile(join(folder, 'secret'), 'first');
    const targets = await openAll(target('{file: secret}'));
    const orders = targets.find('postgres', 'orders')!;
    await rm(join(folder, 'secret'));
    await until(() => targets.warnings().length > 0);
    expect(targets.warnings()).toEqual(['credentials of target orders']);
    expect(passwordOf(orders)).toBe('first');
    await writeFile(join(folder, 'secret'), 'second');
    await until(() => passwordOf(orders) === 'second');
    expect(targets.warnings()).toEqual([]);
  });

  test('that is missing at the start makes the target usable once it is there', async () => {
    const orders = await open(target('{file: secret}'));
    expect(orders.unavailable).toMatch(/secret does not exist$/u);
    await writeFile(join(folder, 'secret'), 'late');
    await until(() => orders.unavailable === undefined);
    expect(passwordOf(orders)).toBe('late');
  });

  test('that cannot be used leaves what it was before', async () => {
    const key = (content: string) => writeFile(join(folder, 'ca'), content);
    await key('no certificate');
    const targets = await openAll(
      `targets: [{name: orders, protocol: postgres, upstream: {host: db, database: a, user: b, tls: {mode: verify-full, ca: {file: ca}}}}]\n`,
    );
    expect(targets.find('postgres', 'orders')?.unavailable).toMatch(/holds no certificate/u);
  });

  test('a refused credential has it read at once, and says whether it is another', async () => {
    await writeFile(join(folder, 'secret'), 'first');
    const orders = await open(target('{file: secret}'));
    const refused = orders.upstream;
    expect(await orders.renew?.(refused)).toBe(false);
    await writeFile(join(folder, 'secret'), 'second');
    // Not before its time is over may a place be asked again, whoever asks.
    await until(async () => (await orders.renew?.(refused)) === true);
    expect(passwordOf(orders)).toBe('second');
  });
});

describe('a command', () => {
  const node = JSON.stringify(process.execPath);
  const printing = (program: string, more = '') =>
    target(`{command: [${node}, -e, ${JSON.stringify(program)}]${more}}`);

  test('prints the value, and is run again in time', async () => {
    const count = 'const fs=require("fs");fs.appendFileSync("n","x");console.log("value "+fs.readFileSync("n").length)';
    const orders = await open(printing(count, ', refresh: 1s'));
    expect(passwordOf(orders)).toBe('value 1');
    await until(() => passwordOf(orders) === 'value 2');
  });

  test('has no shell, and of the environment no more than it needs', async () => {
    process.env['SALLYPORT_TEST_OTHER'] = 'another secret';
    try {
      const program = 'console.log(JSON.stringify([process.argv.slice(1), Object.keys(process.env)]))';
      const source = `{command: [${node}, -e, ${JSON.stringify(program)}, "$(id)", "*"], environment: {MINE: "1"}}`;
      const [words, names] = JSON.parse(passwordOf(await open(target(source))) ?? '') as [string[], string[]];
      expect(words).toEqual(['$(id)', '*']);
      expect(names).toContain('MINE');
      expect(names).not.toContain('SALLYPORT_TEST_OTHER');
    } finally {
      delete process.env['SALLYPORT_TEST_OTHER'];
    }
  });

  test.each([
    ['fails', 'console.error("canary");console.log("canary");process.exit(3)', '', /"node" ended with 3$/u],
    ['prints nothing', '1', '', /printed nothing$/u],
    ['prints without end', 'process.stdout.write("canary".repeat(4e5))', '', /prints more than 1048576 bytes$/u],
    [
      'does not end',
      'console.log("canary");setInterval(() => 1, 1e3)',
      ', timeout: 300ms',
      /did not end within 300ms$/u,
    ],
  ])('that %s gives nothing, and nothing of what it said is told', async (_, program, more, why) => {
    const orders = await open(printing(program, more));
    expect(orders.unavailable).toMatch(why);
    expect(orders.unavailable + logged).not.toContain('canary');
    expect(logged).toMatch(/sallyport\.yaml:10:17: targets\[0\]\.upstream\.password/u);
  });

  test('that is not there is named', async () => {
    const orders = await open(target('{command: [./nowhere]}'));
    expect(orders.unavailable).toBe('the command "nowhere" cannot be started (ENOENT)');
  });
});

describe('Vault', () => {
  const secret = (more = '') => target(`{vault: {path: secret/data/orders, field: password${more}}}`);
  const ofLease = `targets: [{name: orders, protocol: postgres, upstream: {host: 127.0.0.1, database: shop,
    user: {vault: {path: database/creds/shop, field: username, engine: database}},
    password: {vault: {path: database/creds/shop, field: password, engine: database}}}}]\n`;
  const kv2 = (data: Record<string, unknown> | null) => ({ data, metadata: { version: 1, deletion_time: '' } });
  let made = 0;
  const leases = (lease_duration: number) =>
    vault.roles.set('database/creds/shop', () => {
      made += 1;
      return { username: `v-${made}`, password: `canary-${made}`, lease_duration };
    });

  beforeEach(() => {
    made = 0;
    vault.kv.clear();
    vault.roles.clear();
    vault.logins.clear();
    vault.kv.set('secret/data/orders', kv2({ password: 'first' }));
  });
  const root = () => vaultAt(`{token: ${vault.rootToken}}`);

  test('gives a field of a secret, of either version of the engine', async () => {
    vault.kv.set('old/orders', { password: 'of the old engine' });
    expect(passwordOf(await open(root() + secret()))).toBe('first');
    const old = target('{vault: {path: old/orders, field: password, engine: kv-v1}}');
    expect(passwordOf(await open(root() + old))).toBe('of the old engine');
  });

  test('a secret that has changed is there in time', async () => {
    const orders = await open(root() + secret(', refresh: 1s'));
    vault.kv.set('secret/data/orders', kv2({ password: 'second' }));
    await until(() => passwordOf(orders) === 'second');
  });

  test.each([
    ['a field that is missing', { other: 'x' }, /^Vault's secret\/data\/orders has no field "password"/u],
    ['a secret that was deleted', null, /^Vault's secret\/data\/orders is no secret of the engine kv-v2/u],
  ])('%s is said, with the line', async (_, data, why) => {
    vault.kv.set('secret/data/orders', kv2(data));
    expect((await open(root() + secret())).unavailable).toMatch(why);
  });

  test('a secret that is gone is used no longer', async () => {
    const orders = await open(root() + secret(', refresh: 1s'));
    expect(passwordOf(orders)).toBe('first');
    vault.kv.delete('secret/data/orders');
    await until(() => orders.unavailable !== undefined);
    expect(orders.unavailable).toBe("Vault's secret/data/orders does not exist, or was deleted");
  });

  test('credentials with a lease are one pair, are prolonged, and are replaced when they cannot be', async () => {
    leases(0.6);
    const orders = await open(root() + ofLease);
    expect([userOf(orders), passwordOf(orders)]).toEqual(['v-1', 'canary-1']);
    await until(() => vault.asked.filter((one) => one === 'POST sys/leases/renew').length >= 2);
    expect(userOf(orders)).toBe('v-1');
    vault.final.leases = true;
    await until(() => userOf(orders) === 'v-2');
    expect(passwordOf(orders)).toBe('canary-2');
  });

  test('while it is sealed the last credential holds until its lease ends; then the target is refused, and comes back', async () => {
    leases(1.5);
    const targets = await openAll(root() + ofLease);
    const orders = targets.find('postgres', 'orders')!;
    vault.fails(503);
    await until(() => targets.warnings().length > 0);
    expect(userOf(orders)).toBe('v-1');
    await until(() => orders.unavailable !== undefined);
    expect(orders.unavailable).toBe(`Vault at ${vault.address} is sealed, or under maintenance`);
    expect(orders.upstream).toBeUndefined();
    vault.fails(undefined);
    await until(() => orders.unavailable === undefined);
    expect(userOf(orders)).toBe('v-2');
    expect(targets.warnings()).toEqual([]);
    expect(logged).not.toContain('canary');
  });

  test('that cannot be reached at the start is named with the line of the configuration', async () => {
    vault.fails(503);
    const orders = await open(root() + secret());
    expect(orders.unavailable).toMatch(/is sealed/u);
    expect(logged).toMatch(/sallyport\.yaml:11:17: targets\[0\]\.upstream\.password/u);
  });

  test.each([
    ['a Kubernetes service account', '{kubernetes: {role: gateway, jwt: {file: jwt}}}', 'auth/kubernetes/login'],
    ['a JWT', '{jwt: {role: gateway, jwt: {file: jwt}, mount: company}}', 'auth/company/login'],
    ['an AppRole', '{approle: {role_id: gateway, secret_id: {file: jwt}}}', 'auth/approle/login'],
  ])('is signed in to with %s, and again where the token was revoked', async (_, auth, path) => {
    vault.logins.set('gateway', { secret: 'canary of a workload', lease_duration: 3_600 });
    await writeFile(join(folder, 'jwt'), 'canary of a workload\n');
    const orders = await open(vaultAt(auth) + secret(', refresh: 1s'));
    expect(passwordOf(orders)).toBe('first');
    expect(vault.asked).toContain(`POST ${path}`);
    vault.revokeTokens();
    vault.kv.set('secret/data/orders', kv2({ password: 'second' }));
    await until(() => passwordOf(orders) === 'second');
  });

  test('a sign-in that it refuses is said without what was sent', async () => {
    await writeFile(join(folder, 'jwt'), 'canary');
    const orders = await open(vaultAt('{approle: {role_id: gateway, secret_id: {file: jwt}}}') + secret());
    expect(orders.unavailable).toBe('Vault does not let the gateway sign in at auth/approle (vault.auth)');
    expect(logged).not.toContain('canary');
  });

  test('a token that ends takes its leases with it: both are replaced before', async () => {
    leases(3_600);
    vault.logins.set('gateway', { secret: 's', lease_duration: 1 });
    vault.final.tokens = true;
    const orders = await open(vaultAt('{approle: {role_id: gateway, secret_id: s}}') + ofLease);
    expect(userOf(orders)).toBe('v-1');
    const seen = new Set<string | undefined>();
    await until(() => seen.add(userOf(orders)).has('v-2'));
    expect(seen).not.toContain(undefined);
  });

  test('is refused where the file does not say where it is', async () => {
    await expect(openAll(secret())).rejects.toThrow(
      /:10:17: targets\[0\]\.upstream\.password: asks Vault, and there is no "vault" at the top of the file/u,
    );
  });
});
