import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, readdir, realpath, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/** What is kept of what clients do over SSH: screens as files, transfers and forwardings in the audit. */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "everything"} if input.version == 1

mask contains {"resource": "*", "with": "pattern", "code": "masked"} if "masked" in input.principal.roles

limit contains {"bytes": 1000} if "little" in input.principal.roles
`,
};

let folder: string;
let host: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-recording-')));
  await writeFile(join(folder, 'people'), 'ada@example.com\n');
  host = await startSshHost(folder);
  const upstream = { host: host.host, port: host.port, user: host.user, password: host.password };
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0' },
      recordings: { folder: './recordings', size: '64KiB' },
      targets: [{ name: 'build', protocol: 'ssh', upstream: { ...upstream, host_key: host.fingerprint } }],
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await rm(folder, { recursive: true, force: true });
});

async function connected<T>(roles: readonly string[], work: (client: Client) => Promise<T>): Promise<T> {
  const password = await gateway.token({ roles: [...roles] });
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    client.connect({ host: gateway.host, port: gateway.port, username: 'build', password });
  });
  try {
    return await work(client);
  } finally {
    client.end();
  }
}

type Ended = { readonly shown: string; readonly errors: string; readonly code: number | null };

function collect(channel: ClientChannel): Promise<Ended> {
  let shown = '';
  let errors = '';
  let code: number | null = null;
  channel.on('data', (chunk: Buffer) => (shown += chunk.toString()));
  channel.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  channel.on('exit', (given: number | null) => (code = given));
  return new Promise((resolve) => channel.once('close', () => resolve({ shown, errors, code })));
}

const run = (roles: readonly string[], command: string, input = ''): Promise<Ended> =>
  connected(
    roles,
    (client) =>
      new Promise<Ended>((resolve, reject) => {
        client.exec(command, (error, channel) => {
          if (error) return reject(error);
          resolve(collect(channel));
          channel.end(input);
        });
      }),
  );

interface Outcome {
  readonly decision: string;
  readonly result: Record<string, unknown> & {
    readonly recording?: { readonly id: string; readonly sha256: string; readonly complete: boolean };
  };
}

/** Outcomes come a moment after their answers: the one that fits, once it is there. */
async function outcome(fits: (result: Outcome['result'], intent: string) => boolean): Promise<Outcome> {
  for (let look = 0; look < looks_max; look++) {
    const records = await gateway.records();
    const intents = new Map(
      records.filter(({ kind }) => kind === 'intent').map((one) => [one['decision_id'], JSON.stringify(one)]),
    );
    for (const { kind, decision_id, result } of records)
      if (kind === 'outcome' && fits(result as Outcome['result'], intents.get(decision_id) ?? ''))
        return { decision: decision_id as string, result: result as Outcome['result'] };
    await new Promise((resolve) => setTimeout(resolve, look_ms));
  }
  const outcomes = (await gateway.records()).filter(({ kind }) => kind === 'outcome').map(({ result }) => result);
  throw new Error(`no such outcome among ${JSON.stringify(outcomes)}`);
}

const look_ms = 50;
const looks_max = 400;

/** The recording that an outcome names, whole by its digest. */
async function recordingOf({ decision, result: { recording } }: Outcome): Promise<[unknown, ...unknown[][]]> {
  expect(recording!.id).toBe(decision.replace('d-', 'r-'));
  const text = await readFile(join(gateway.folder, 'recordings', `${recording!.id}.cast`));
  expect(recording!.sha256).toBe(createHash('sha256').update(text).digest('hex'));
  const lines = text.toString().trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as unknown[]) as [unknown, ...unknown[][]];
}

const texts = (events: readonly unknown[][], code: string) =>
  events
    .filter(([, kind]) => kind === code)
    .map(([, , text]) => text as string)
    .join('');

describe('a recording', () => {
  test('of a command has what its client saw, and the audit has its id and digest', async () => {
    await run([], 'echo first recorded; echo fault >&2; exit 4', 'never looked at');
    const found = await outcome(
      (result, intent) => result.recording !== undefined && intent.includes('first recorded'),
    );
    const [header, ...events] = await recordingOf(found);
    expect(header).toMatchObject({
      command: 'echo first recorded; echo fault >&2; exit 4',
      sallyport: { decision: found.decision, target: 'build', request: 'exec', terminal: false, masked: false },
    });
    expect(texts(events, 'o').split('\r\n').sort()).toEqual(['', 'fault', 'first recorded']);
    expect(texts(events, 'x')).toBe('4');
    expect(found.result).toMatchObject({ status: 'error', code: '4', sent_bytes: 15 });
  });

  test('has what is masked as its client got it, in the command line and the input too', async () => {
    await run(['masked'], 'cat people; read -r line; eval "$line # bob@example.com"', 'echo eve@example.com\n');
    const found = await outcome((result, intent) => result.recording !== undefined && intent.includes('cat people'));
    const [header, ...events] = await recordingOf(found);
    expect(texts(events, 'o')).toBe('***\r\n***\r\n');
    const text = JSON.stringify([header, ...events]);
    expect(text).toContain('echo ***');
    expect(text).not.toContain('example.com');
  });

  test('of a shell without a terminal has its input, as nothing echoes it; of one with a terminal it has not', async () => {
    const shell = (terminal: boolean, input: string) =>
      connected(
        [],
        (client) =>
          new Promise<Ended>((resolve, reject) => {
            const window = terminal ? { rows: 24, cols: 90, term: 'xterm' } : false;
            client.shell(window, (error, channel) => {
              if (error) return reject(error);
              resolve(collect(channel));
              channel.end(input);
            });
          }),
      );
    await shell(false, 'echo without\n');
    const without = await outcome(
      (result, intent) => result.recording !== undefined && /"request":"shell".*"terminal":false/u.test(intent),
    );
    const [, ...events] = await recordingOf(without);
    expect(texts(events, 'i')).toBe('echo without\n');
    expect(texts(events, 'o')).toContain('without\r\n');
    await shell(true, 'secret_word=1; echo with\n');
    const terminal = await outcome(
      (result, intent) => result.recording !== undefined && /"request":"shell".*"terminal":true/u.test(intent),
    );
    const [header, ...shown] = await recordingOf(terminal);
    expect(header).toMatchObject({ width: 90, height: 24, env: { TERM: 'xterm' } });
    expect(texts(shown, 'i')).toBe('');
    expect(JSON.stringify(shown)).not.toContain('secret_word');
  });

  test('says what stopped it at a limit; one that has no more room stops its command', async () => {
    await run(['little'], 'head -c 5000 /dev/zero | tr "\\0" x');
    const limited = await outcome((result) => result['code'] === 'limit_exceeded');
    const [, ...events] = await recordingOf(limited);
    expect(texts(events, 'm')).toContain('stopped by policy: more than 1000 bytes');
    const full = await run([], 'head -c 500000 /dev/zero | tr "\\0" y; sleep 600');
    expect(full.code).toBe(255);
    expect(full.errors).toContain('can no longer be recorded');
    const lost = await outcome((result) => result['code'] === 'recording_failed');
    expect(lost.result.recording).toMatchObject({ complete: false });
    // What is not recorded was not shown.
    const [, ...kept] = await recordingOf(lost);
    expect(texts(kept, 'o').length).toBeGreaterThanOrEqual(full.shown.length);
  });

  test('that cannot begin lets nothing reach the host', async () => {
    const kept = join(gateway.folder, 'recordings');
    const before = await readdir(kept);
    await rm(kept, { recursive: true });
    // Neither a folder nor a link may stand there.
    await writeFile(kept, '');
    const reached = host.log.length;
    const refused = await run([], 'echo never');
    expect(refused).toMatchObject({ shown: '', code: 255 });
    expect(refused.errors).toContain('could not be recorded');
    expect(host.log.slice(reached).filter((line) => line.includes('never'))).toEqual([]);
    expect(before.length).toBeGreaterThan(4);
  });
});

describe('the audit', () => {
  test('has the bytes and the digest of every file that SFTP carried', async () => {
    const big = Buffer.alloc(300_000, 'z');
    await connected([], async (client) => {
      const sftp = await new Promise<ssh2.SFTPWrapper>((resolve, reject) =>
        client.sftp((error, opened) => (error ? reject(error) : resolve(opened))),
      );
      await new Promise<void>((resolve, reject) =>
        sftp.writeFile('uploaded', big, (error) => (error ? reject(error) : resolve())),
      );
      await new Promise<void>((resolve, reject) =>
        sftp.readFile('people', (error) => (error ? reject(error) : resolve())),
      );
    });
    const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex');
    const written = await outcome((result, intent) => result['file'] !== undefined && intent.includes('uploaded'));
    expect(written.result).toMatchObject({
      ...{ status: 'ok', sent_bytes: 300_000 },
      file: { written: { bytes: 300_000, sha256: sha256(big) } },
    });
    const read = await outcome((result, intent) => result['file'] !== undefined && intent.includes('/people'));
    expect(read.result).toMatchObject({
      bytes: 16,
      file: { read: { bytes: 16, sha256: sha256('ada@example.com\n') } },
    });
  });

  test('has the bytes that a forwarding carried, each way', async () => {
    const echo = createServer((socket) => socket.once('data', (chunk) => socket.end(Buffer.concat([chunk, chunk]))));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as AddressInfo;
    await connected([], async (client) => {
      const channel = await new Promise<ClientChannel>((resolve, reject) =>
        client.forwardOut('127.0.0.1', 1, '127.0.0.1', port, (error, opened) =>
          error ? reject(error) : resolve(opened),
        ),
      );
      const over = new Promise((resolve) => channel.once('close', resolve));
      channel.resume().end('twelve bytes');
      await over;
    });
    const found = await outcome((result, intent) => intent.includes(`127.0.0.1:${port}`) && 'sent_bytes' in result);
    expect(found.result).toMatchObject({ status: 'ok', bytes: 24, sent_bytes: 12 });
    echo.close();
  });
});
