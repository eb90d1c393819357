import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel, type SFTPWrapper } from 'ssh2';
import { piecesIn, type Way } from '../../gateway/recordings/index.js';
import { until } from '../support/approvals-side.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/** What clients transfer over SSH, kept where policy asks for it. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if input.version == 1

keep contains {"code": "copies"} if "kept" in input.principal.roles

mask contains {"resource": "*", "with": "pattern", "code": "masked"} if "masked" in input.principal.roles
`,
};

let folder: string;
let host: SshHost;
let gateway: TestGateway;
let careless: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-copies-')));
  host = await startSshHost(folder);
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  const targets = [{ name: 'build', protocol: 'ssh', upstream: { ...upstream, host_key: host.fingerprint } }];
  const listen = { ssh: '127.0.0.1:0' };
  const recordings = { folder: './recordings', size: '1MiB' };
  gateway = await startTestGateway({ protocol: 'ssh', policy, config: { listen, recordings, targets } });
  careless = await startTestGateway({ protocol: 'ssh', policy, config: { listen, targets } });
});
afterAll(async () => {
  await gateway?.close();
  await careless?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

async function connected<T>(
  roles: readonly string[],
  work: (client: Client) => Promise<T>,
  through = gateway,
): Promise<T> {
  const password = await through.token({ roles: [...roles] });
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    client.connect({ host: through.host, port: through.port, username: 'build', password });
  });
  try {
    return await work(client);
  } finally {
    client.end();
  }
}

const promised = <T>(ask: (done: (error: Error | undefined | null, value: T) => void) => unknown): Promise<T> =>
  new Promise((resolve, reject) => void ask((error, value) => (error ? reject(error) : resolve(value))));

const overSftp = <T>(roles: readonly string[], work: (sftp: SFTPWrapper) => Promise<T>): Promise<T> =>
  connected(roles, async (client) => work(await promised<SFTPWrapper>((done) => client.sftp(done))));

interface Ended {
  readonly shown: string;
  readonly errors: string;
  readonly code: number | null;
}

const run = (roles: readonly string[], command: string, input: string | Buffer, through = gateway): Promise<Ended> =>
  connected(
    roles,
    (client) =>
      new Promise<Ended>((resolve, reject) => {
        client.exec(command, (error, channel) => {
          if (error) return reject(error);
          let shown = '';
          let errors = '';
          let code: number | null = null;
          channel.on('data', (chunk: Buffer) => (shown += chunk.toString('latin1')));
          channel.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
          channel.on('exit', (given: number | null) => (code = given));
          channel.once('close', () => resolve({ shown, errors, code }));
          channel.end(input);
        });
      }),
    through,
  );

type Result = Record<string, unknown> & {
  readonly copy?: {
    readonly id: string;
    readonly sha256: string;
    readonly masked: boolean;
    readonly complete: boolean;
  };
};

/** The outcome of the operation that says so; it comes a moment after its answer. */
async function outcome(says: string, fits: (result: Result) => boolean = () => true): Promise<Result> {
  for (let look = 0; look < looks_max; look++) {
    const records = await gateway.records();
    const ids = new Set(
      records
        .filter((one) => one['kind'] === 'intent' && JSON.stringify(one).includes(says))
        .map((one) => one['decision_id']),
    );
    const found = records.findLast(
      (one) => one['kind'] === 'outcome' && ids.has(one['decision_id']) && fits(one['result'] as Result),
    );
    if (found !== undefined) return found['result'] as Result;
    await new Promise((resolve) => setTimeout(resolve, look_ms));
  }
  throw new Error(`no such outcome of ${says}`);
}
const look_ms = 50;
const looks_max = 400;

/** A copy, whole by its digest: each way as the file that its pieces make. */
async function contentOf({ copy }: Result): Promise<Record<Way, Buffer>> {
  const file = join(gateway.folder, 'recordings', `${copy!.id}.copy`);
  expect(copy!.sha256).toBe(sha256(await readFile(file)));
  const content = { read: Buffer.alloc(0), written: Buffer.alloc(0) };
  for await (const { way, offset, bytes } of piecesIn(createReadStream(file))) {
    const whole = Buffer.alloc(Math.max(content[way].length, offset + bytes.length));
    content[way].copy(whole);
    bytes.copy(whole, offset);
    content[way] = whole;
  }
  return content;
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
/** No two pieces of it are alike, and it is no text. */
const much = Buffer.from(Array.from({ length: 75_000 }, (_, at) => (at * 7_919) % 4_294_967_291).flatMap((n) => [n & 255, (n >> 8) & 255, (n >> 16) & 255, 0])); // prettier-ignore

describe('a file over SFTP', () => {
  test('is kept as it was written and as it was read, by the digest that the audit has of it', async () => {
    await overSftp(['kept'], async (sftp) => {
      await promised<void>((done) => sftp.writeFile('uploaded', much, done));
      expect(await promised<Buffer>((done) => sftp.readFile('uploaded', done))).toEqual(much);
    });
    expect(await readFile(join(folder, 'uploaded'))).toEqual(much);
    const written = await outcome('uploaded', ({ file }) => JSON.stringify(file).includes('written'));
    expect(written).toMatchObject({
      file: { written: { sha256: sha256(much) } },
      copy: { complete: true, masked: false },
    });
    expect((await contentOf(written)).written).toEqual(much);
    const read = await outcome('uploaded', ({ file }) => JSON.stringify(file).includes('read'));
    expect((await contentOf(read)).read).toEqual(much);
  });

  test('is kept in the pieces in which it was written, whatever their order', async () => {
    await overSftp(['kept'], async (sftp) => {
      const handle = await promised<Buffer>((done) => sftp.open('pieces', 'w', done));
      for (const [text, at] of [
        ['world', 6],
        ['hello ', 0],
        ['W', 6],
      ] as const)
        // prettier-ignore
        await promised<void>((done) => sftp.write(handle, Buffer.from(text), 0, text.length, at, done));
      await promised<void>((done) => sftp.close(handle, done));
    });
    const result = await outcome('/pieces');
    const pieces: [number, string][] = [];
    const file = join(gateway.folder, 'recordings', `${result.copy!.id}.copy`);
    for await (const { offset, bytes } of piecesIn(createReadStream(file))) pieces.push([offset, bytes.toString()]);
    expect(pieces).toEqual([[6, 'world'], [0, 'hello '], [6, 'W']]); // prettier-ignore
    expect((await contentOf(result)).written.toString()).toBe('hello World');
  });

  test('is not kept where nobody asks, nothing was transferred, or it could not be opened', async () => {
    const before = await readdir(join(gateway.folder, 'recordings'));
    await overSftp([], (sftp) => promised<void>((done) => sftp.writeFile('unkept', 'nothing', done)));
    expect((await outcome('/unkept')).copy).toBeUndefined();
    await overSftp(['kept'], async (sftp) => {
      await expect(promised((done) => sftp.open('not-there', 'r', done))).rejects.toThrow('ENOENT');
      const handle = await promised<Buffer>((done) => sftp.open('unkept', 'r', done));
      await promised<void>((done) => sftp.close(handle, done));
      await promised<unknown>((done) => sftp.readdir('.', done));
    });
    const result = await outcome('/unkept', ({ bytes }) => bytes === 0);
    expect(result.copy).toBeUndefined();
    // What was begun for one that could not be opened is taken away a moment after the answer.
    await until(async () => (await readdir(join(gateway.folder, 'recordings'))).join() === before.join());
  });

  test('is transferred no further than it can be kept, and the session goes on', async () => {
    await overSftp(['kept'], async (sftp) => {
      const big = Buffer.alloc(1_500_000, 'b');
      await expect(promised<void>((done) => sftp.writeFile('big', big, done))).rejects.toThrow('can no longer be kept');
      await promised<void>((done) => sftp.writeFile('small', 'after it', done));
    });
    const sent = await readFile(join(folder, 'big'));
    expect(sent.length).toBeLessThan(1_500_000);
    const result = await outcome('/big', ({ code }) => code === 'recording_failed');
    expect(result.copy).toMatchObject({ complete: false });
    // What reached the host is in the copy.
    expect((await contentOf(result)).written.subarray(0, sent.length)).toEqual(sent);
    await writeFile(join(folder, 'large'), Buffer.alloc(1_500_000, 'l'));
    await overSftp(['kept'], async (sftp) => {
      await expect(promised((done) => sftp.readFile('large', done))).rejects.toThrow('can no longer be kept');
    });
  });

  test('has stars in its copy where a mask is on it', async () => {
    await overSftp(['kept', 'masked'], async (sftp) => {
      await promised<void>((done) => sftp.writeFile('people', 'mail ada@example.com now', done));
    });
    expect(await readFile(join(folder, 'people'), 'utf8')).toBe('mail ada@example.com now');
    const result = await outcome('/people');
    expect(result.copy).toMatchObject({ masked: true });
    expect((await contentOf(result)).written.toString()).toBe('mail *** now');
  });
});

describe('a command', () => {
  test('without a terminal is kept as the streams that it had, both ways', async () => {
    const { shown, code } = await run(['kept'], 'tee carried | tr a-z A-Z', 'sent through');
    expect({ shown, code }).toEqual({ shown: 'SENT THROUGH', code: 0 });
    const content = await contentOf(await outcome('tee carried'));
    expect([content.written.toString(), content.read.toString()]).toEqual(['sent through', 'SENT THROUGH']);
    const binary = await run(['kept'], 'cat > binary; cat binary', much);
    expect(Buffer.from(binary.shown, 'latin1')).toEqual(much);
    const whole = await contentOf(await outcome('cat > binary', ({ copy }) => copy !== undefined));
    expect([whole.written, whole.read]).toEqual([much, much]);
  });

  test('has stars in its copy where its client got them', async () => {
    const { shown } = await run(['kept', 'masked'], 'cat; echo to bob@example.com', 'from eve@example.com\n');
    expect(shown).toBe('from ***\nto ***\n');
    const result = await outcome('cat; echo to', ({ copy }) => copy !== undefined);
    const content = await contentOf(result);
    expect([content.written.toString(), content.read.toString()]).toEqual(['from ***\n', 'from ***\nto ***\n']);
    expect((await readFile(join(gateway.folder, 'recordings', `${result.copy!.id}.copy`))).toString()).not.toContain('example.com'); // prettier-ignore
  });

  test('is stopped where what it transfers can no longer be kept', async () => {
    const ended = await run(['kept'], 'cat > /dev/null; sleep 600', Buffer.alloc(2_000_000, 'x'));
    expect(ended.code).toBe(255);
    expect(ended.errors).toContain('can no longer be recorded');
    expect((await outcome('cat > /dev/null')).copy).toMatchObject({ complete: false });
  });
});

test('what nobody keeps is refused: a forwarding, and everything where nothing is recorded', async () => {
  await expect(
    connected(['kept'], (client) =>
      promised<ClientChannel>((done) => client.forwardOut('127.0.0.1', 1, '127.0.0.1', host.port, done)),
    ),
  ).rejects.toThrow('open failure');
  const denied = (await gateway.records()).filter((one) => JSON.stringify(one).includes('a forwarding is not kept'));
  expect(denied).toMatchObject([
    { result: { outcome: 'deny', reasons: [expect.objectContaining({ code: 'obligation_unsupported' })] } },
  ]);
  const reached = host.log.length;
  const refused = await run(['kept'], 'echo never', '', careless);
  expect(refused).toMatchObject({ shown: '', code: 126 });
  expect(refused.errors).toContain('keep (copies)');
  expect(host.log.slice(reached).filter((line) => line.includes('never'))).toEqual([]);
  expect((await run([], 'echo fine', '', careless)).shown).toBe('fine\n');
});
