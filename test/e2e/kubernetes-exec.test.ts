import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { WebSocket } from 'ws';
import type { Identity } from '../../gateway/protocol.js';
import { apiServer, kubeconfig } from '../support/api-server.js';
import { until } from '../support/approvals-side.js';
import { createContainer, type Container } from '../support/container.js';
import { startWeb, type Web } from '../support/web.js';
import { eventsOf, searchRecordings, type CastEvent, type FoundRecording } from '../../gateway/recordings/index.js';

/** Programs in containers, over WebSocket: what is judged, what passes, what it looks like when it does not. */

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

deny contains {"code": "shells", "message": "no shells in containers"} if kubernetes.shell

deny contains {"code": "changes", "message": "commands only read here"} if {
  kubernetes.enters
  some command in input.operation.kubernetes.commands
  command.action == "delete"
}

approval contains {"code": "environment", "groups": ["operators"]} if {
  some command in input.operation.kubernetes.commands
  command.program == "env"
}

mask contains {"code": "content", "resource": "*", "with": "pattern", "parameters": {"kinds": ["email"]}} if kubernetes.enters

limit contains {"bytes": 1000} if input.operation.kubernetes.container == "small"
`,
  'data.yaml': 'programs:\n  shelf-status: {can: [read], words: files, options: [--short]}\n',
};

let web: Web;
let container: Container;

beforeAll(async () => {
  container = createContainer();
  web = await startWeb({
    policy,
    protocol: 'kubernetes',
    people: true,
    config: { recordings: { folder: './recordings', size: '64KiB' } },
    upstream: (port) => ({ kubeconfig: kubeconfig(port), impersonate: true }),
  });
  web.upstream.answers(apiServer);
  web.upstream.upgrades(container.upgrade);
});
afterAll(async () => {
  await web?.close();
  container.close();
});
beforeEach(() => {
  web.upstream.heard.length = 0;
  container.ran.length = 0;
});

interface Said {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly error: Record<string, unknown>;
  readonly closed: number;
  readonly protocol: string;
}
interface Asked {
  readonly pod?: string;
  readonly stdin?: string;
  readonly query?: string;
  readonly protocols?: string[];
  /** With the socket, once it is open. */
  readonly opened?: (socket: WebSocket) => void;
  readonly token?: string;
}

/** One exec to its end: what came on each channel, or the answer to the handshake. */
async function exec(argv: readonly string[], asked: Asked = {}): Promise<Said> {
  const { pod = 'web', stdin, query = '', protocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'], opened } = asked;
  const command = argv.map((word) => `command=${encodeURIComponent(word)}`).join('&');
  const input = stdin === undefined ? '' : '&stdin=true';
  const url = `wss://127.0.0.1:${String(web.port)}/kubernetes/cloud/api/v1/namespaces/shop/pods/${pod}/exec?${command}&stdout=true${input}${query}`;
  const headers = { authorization: `Bearer ${asked.token ?? (await web.gateway.token())}` };
  const socket = new WebSocket(url, protocols, { ca: web.ca, headers });
  const channels: Buffer[][] = [[], [], [], []];
  return new Promise((resolve, reject) => {
    const text = (channel: number) => Buffer.concat(channels[channel]!).toString();
    socket.on('error', reject);
    socket.on('unexpected-response', (_request, answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const error = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
        resolve({ status: answer.statusCode ?? 0, stdout: '', stderr: '', error, closed: 0, protocol: '' });
      });
    });
    socket.on('open', () => {
      if (stdin !== undefined && stdin !== '') socket.send(`\0${stdin}`);
      if (stdin !== undefined) socket.send(Buffer.from([255, 0]));
      opened?.(socket);
    });
    socket.on('message', (data: Buffer) => channels[data[0]!]?.push(data.subarray(1)));
    socket.on('close', (closed) => {
      const error = (text(3) === '' ? {} : JSON.parse(text(3))) as Record<string, unknown>;
      resolve({ status: 101, stdout: text(1), stderr: text(2), error, closed, protocol: socket.protocol });
    });
  });
}

describe('a command in a container', () => {
  test('runs, with input, output and how it ended', async () => {
    const said = await exec(['cat'], { stdin: 'hello\n' });
    expect(said).toMatchObject({ status: 101, stdout: 'hello\n', error: { status: 'Success' }, closed: 1000 });
    expect(said.protocol).toBe('v5.channel.k8s.io');
    expect(container.ran).toMatchObject([{ argv: ['cat'] }]);
    expect(web.upstream.heard[0]?.headers).toMatchObject({
      authorization: 'Bearer the-real-one',
      'impersonate-user': expect.stringMatching(/^agent:/) as unknown,
    });
  });

  test('fails with its own exit code, which is recorded with the bytes', async () => {
    const said = await exec(['ls', '/nowhere']);
    expect(said.error).toMatchObject({ status: 'Failure', reason: 'NonZeroExitCode' });
    expect(said.stderr).toContain('/nowhere');
    let settled: string | undefined;
    // It is written a moment after the client has its answer.
    await until(async () => {
      const records = (await web.gateway.records()).map((record) => JSON.stringify(record));
      return (settled = records.find((record) => record.includes('"code":"2"'))) !== undefined;
    });
    expect(settled).toContain(`"bytes":${String(said.stderr.length)}`);
  });

  test('speaks the older protocol to those that know no other', async () => {
    expect(await exec(['echo', 'a'], { protocols: ['v4.channel.k8s.io'] })).toMatchObject({
      stdout: 'a\n',
      protocol: 'v4.channel.k8s.io',
    });
  });

  test('is sent in the one form in which every shell reads it', async () => {
    await exec(['sh', '-c', 'ls   /etc/hosts | head -1']);
    expect(container.ran[0]?.argv).toEqual(['sh', '-c', "'ls'   /etc/hosts | 'head' -1"]);
  });

  test('with a program that the policy knows is sent so as well, and with one that it does not know as it came', async () => {
    await exec(['sh', '-c', 'shelf-status   --short']);
    await exec(['sh', '-c', 'shelf-status   --long']);
    expect(container.ran.map(({ argv }) => argv[2])).toEqual(["'shelf-status'   --short", 'shelf-status   --long']);
  });

  test('shows nothing that is masked, wherever it is cut', async () => {
    const letters = [
      'sh',
      '-c',
      'printf "to ada@exam"; sleep 0.1; printf "ple.com and 4\\n"; printf "ada@example.com" >&2',
    ];
    const { stdout, stderr } = await exec(letters);
    expect({ stdout, stderr }).toEqual({ stdout: 'to *** and 4\n', stderr: '***' });
  });

  test('passes much, as fast as the client takes it', async () => {
    const bytes = 8_000_000;
    const said = await exec(['head', '-c', String(bytes), '/dev/zero'], {
      opened: (socket) => {
        socket.pause();
        setImmediate(() => socket.resume());
      },
    });
    expect(said.stdout.length).toBe(bytes);
  });
});

describe('a recording of what ran in a container', () => {
  test('has what its client saw, as masked, with how it ended; its digest is in the audit', async () => {
    const said = await exec(['sh', '-c', "echo me@example.com; echo no >&2; ls /nowhere-at-all ''"]);
    const { recording, events } = await recordingWith('nowhere-at-all');
    const shown = events.filter(([, code]) => code === 'o').map(([, , text]) => text);
    expect(shown.join('')).toContain('***');
    expect(shown.join('').replaceAll('\r\n', '\n').length).toBe(said.stdout.length + said.stderr.length);
    expect(JSON.stringify(recording.header) + JSON.stringify(events)).not.toContain('me@example.com');
    expect(recording).toMatchObject({ exit: '2', header: { sallyport: { request: 'exec', protocol: 'kubernetes' } } });
    expect(recording.header.command).toMatch(/^kubectl exec -n shop web -- sh -c '/u);
    const digest = createHash('sha256')
      .update(await readFile(recording.file))
      .digest('hex');
    await until(async () => JSON.stringify(await web.gateway.records()).includes(digest));
  });

  test('has input of what is opaque, which nothing else shows, and not of what is known', async () => {
    await exec(['sh', '-c', 'read -r wanted words; eval "echo found $words"'], { stdin: 'wanted words\n' });
    const { events } = await recordingWith('found words');
    expect(events.filter(([, code]) => code === 'i').map(([, , text]) => text)).toEqual(['wanted words\n']);
    await exec(['cat'], { stdin: 'harmless words\n' });
    expect((await recordingWith('harmless words')).events.filter(([, code]) => code === 'i')).toEqual([]);
  });

  test("has a terminal's sizes, and nothing that only looks like one", async () => {
    await exec(['cat'], {
      stdin: 'sized words\n',
      query: '&tty=true',
      opened: (socket) => {
        for (const size of ['{"Width":100,"Height":40}', 'null', '{"Width":1e9,"Height":1}', '{'])
          socket.send(Buffer.concat([Buffer.from([4]), Buffer.from(size)]));
      },
    });
    const { recording, events } = await recordingWith('sized words');
    expect(recording.header.sallyport.terminal).toBe(true);
    expect(events.filter(([, code]) => code === 'r').map(([, , text]) => text)).toEqual(['100x40']);
  });

  test('says that nothing ran where the API server answers with a no', async () => {
    expect(await exec(['cat', 'unanswered'], { pod: 'other' })).toMatchObject({ status: 404 });
    await until(async () => {
      for await (const { recording } of searchRecordings(folder(), {}, { limit: 100 }))
        if (recording.header.command === 'kubectl exec -n shop other -- cat unanswered')
          return recording.exit === 'failed';
      return false;
    });
  });

  test('that cannot go on ends the command, with words that say so; what is not recorded is not shown', async () => {
    const said = await exec(['seq', '20000', '60000']);
    expect(said.stdout.length).toBeLessThan(65_536);
    expect(said.error).toMatchObject({ message: expect.stringContaining('it can no longer be recorded') as unknown });
    await until(async () => JSON.stringify(await web.gateway.records()).includes('"complete":false'));
  });
});

const folder = () => join(web.gateway.folder, 'recordings');

/** The one on whose screen, or in whose input, these words stand, once it is over. */
async function recordingWith(words: string) {
  let found: FoundRecording | undefined;
  await until(async () => {
    for await (const one of searchRecordings(folder(), { text: words }, { limit: 1 })) found = one;
    return found?.recording.exit !== undefined;
  });
  const events: CastEvent[] = [];
  for await (const event of eventsOf(found!.recording.file)) events.push(event);
  return { recording: found!.recording, events };
}

describe('what is not let through', () => {
  test.each([
    ['a shell', ['sh'], { stdin: '' }, 'no shells in containers'],
    ['a shell with a terminal', ['/bin/bash', '-i'], { query: '&tty=true' }, 'no shells in containers'],
    ['a removal', ['rm', '-rf', '/data'], {}, 'commands only read here'],
    ['a removal within a line', ['sh', '-ec', 'ls && rm -rf /data'], {}, 'commands only read here'],
  ] as const)('%s: the handshake is answered with a Status, and nothing ran', async (_name, argv, asked, message) => {
    const { status, error } = await exec(argv, asked);
    expect(status).toBe(403);
    expect(error).toMatchObject({ kind: 'Status', reason: 'Forbidden' });
    expect(error['message']).toContain(message);
    expect(web.upstream.heard).toEqual([]);
  });

  test('a pod that there is none of, in the words of the API server', async () => {
    const { status, error } = await exec(['ls'], { pod: 'other' });
    expect({ status, message: error['message'] }).toEqual({ status: 404, message: 'pods "other" not found' });
  });

  test('whoever has no token', async () => {
    expect(await exec(['ls'], { token: 'x.y.z' })).toMatchObject({ status: 401, error: { reason: 'Unauthorized' } });
  });

  test('channels that are not for clients', async () => {
    const { closed } = await exec(['cat'], { opened: (socket) => socket.send(Buffer.from([3, 65])) });
    expect(closed).toBe(1008);
  });

  test('channels that are not for clients, of one that does not answer that it is over', async () => {
    const { authorization = '' } = await web.bearer();
    const asked = [
      'GET /kubernetes/cloud/api/v1/namespaces/shop/pods/web/exec?command=cat&stdin=true&stdout=true HTTP/1.1',
      ...['host: x', `authorization: ${authorization}`, 'connection: Upgrade', 'upgrade: websocket'],
      ...['sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='],
      ...['sec-websocket-protocol: v5.channel.k8s.io', '', ''],
    ];
    const wrong = Buffer.from([0x82, 0x82, 0, 0, 0, 0, 3, 65]);
    const started_ms = performance.now();
    const said = await web.raw(Buffer.concat([Buffer.from(asked.join('\r\n')), wrong]));
    expect(said).toMatch(/^HTTP\/1\.1 101 /);
    expect(said).toContain('a channel that is not for clients');
    // Others are waited for for thirty seconds.
    expect(performance.now() - started_ms).toBeLessThan(25_000);
  });

  test('subprotocols that carry other frames', async () => {
    expect(await exec(['ls'], { protocols: ['base64.channel.k8s.io'] })).toMatchObject({ status: 400 });
  });

  test('what is more than policy lets through', async () => {
    const said = await exec(['head', '-c', '5000', '/dev/zero'], { query: '&container=small' });
    expect(said.stdout.length).toBeLessThanOrEqual(1_000);
    expect(said.error['message']).toContain('1000 bytes');
    expect(said.closed).toBe(1000);
  });

  test('SPDY, with words that say what to do; the reason of a denial comes first', async () => {
    const bearer = await web.bearer();
    const ask = (command: string) =>
      web.raw(
        `POST /kubernetes/cloud/api/v1/namespaces/shop/pods/web/exec?${command}&stdout=true HTTP/1.1\r\nhost: x\r\n` +
          `authorization: ${bearer['authorization']!}\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\nx-stream-protocol-version: v3.channel.k8s.io\r\ncontent-length: 0\r\n\r\n`,
      );
    expect(await ask('command=ls')).toMatch(/^HTTP\/1\.1 400 [\s\S]*KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true/);
    expect(await ask('command=rm&command=x')).toMatch(/^HTTP\/1\.1 403 [\s\S]*commands only read here/);
    // kubectl falls back to it when a WebSocket is refused, and shows only what it hears then.
    const token = bearer['authorization']!.slice('Bearer '.length);
    await exec(['cat', 'a'], { pod: 'other', token });
    const again = await web.raw(
      `POST /kubernetes/cloud/api/v1/namespaces/shop/pods/other/exec?command=cat&command=a&stdout=true HTTP/1.1\r\nhost: x\r\n` +
        `authorization: Bearer ${token}\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n`,
    );
    expect(again).toMatch(/^HTTP\/1\.1 404 [\s\S]*not found/);
    expect(web.upstream.heard.filter(({ method }) => method === 'POST')).toEqual([]);
  });
});

test('who asks for another protocol before the answer to another request ends that connection, and nothing else', async () => {
  const first = 'GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n';
  for (const path of ['/healthz', '/kubernetes/cloud/api/v1/namespaces/shop/pods/web/exec?command=ls']) {
    const second = `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n`;
    expect(await web.raw(first + second)).toBe('');
  }
  expect(await web.call('/healthz')).toMatchObject({ status: 200 });
});

describe('what ends before its time', () => {
  test('a hold: the handshake waits, and goes on once somebody approves', async () => {
    const said = exec(['env', 'true']);
    const { id } = await web.waiting();
    expect(web.upstream.heard).toEqual([]);
    await web.answer('approve', id);
    expect(await said).toMatchObject({ status: 101, error: { status: 'Success' } });
  });

  test('a session that is killed: the client is told why, and the API server loses the connection', async () => {
    const token = await web.gateway.token({ subject: 'agent:bad' });
    let said: Promise<Said> | undefined;
    await new Promise<void>((resolve) => {
      said = exec(['sleep', '100'], { token, opened: () => resolve() });
    });
    const { sessions } = web.gateway.gateway;
    expect(await sessions.kill({ subject: 'agent:bad' }, {} as Identity, 'drill')).toEqual({ killed: 1 });
    const { error, closed } = await said!;
    expect(closed).toBe(1000);
    expect(error).toMatchObject({
      kind: 'Status',
      message: expect.stringContaining('ended by an administrator: drill') as unknown,
    });
    await container.until(() => container.ran.every(({ ended }) => ended));
    await until(async () => JSON.stringify(await web.gateway.records()).includes('"status":"cancelled"'));
  });
});
