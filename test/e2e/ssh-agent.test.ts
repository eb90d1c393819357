import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import ssh2, { type Client, type ClientChannel } from 'ssh2';
import type { Identity } from '../../gateway/protocol.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { startSshHost, type SshHost } from '../support/ssh-host.js';

/** The client's ssh-agent, lent to the host where policy allows it (`ssh -A`). */

const policy = {
  'ssh.rego': `package policy.ssh

allow contains {"code": "commands"} if input.operation.ssh.request in {"connect", "exec", "shell"}

allow contains {"code": "agent"} if {
	input.operation.ssh.request == "ssh_agent"
	"lends" in input.principal.roles
}

mask contains {"resource": "*", "with": "pattern", "code": "masked"} if "masked" in input.principal.roles

limit contains {"bytes": 30} if "little" in input.principal.roles
`,
};

let folder: string;
let host: SshHost;
let unwilling: SshHost;
let gateway: TestGateway;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-ssh-agent-')));
  host = await startSshHost(folder);
  unwilling = await startSshHost(folder, { takesAgent: false });
  const target = (name: string, { host: address, port, user, password, fingerprint }: SshHost) => ({
    ...{ name, protocol: 'ssh' },
    upstream: { host: address, port, user, password, host_key: fingerprint },
  });
  gateway = await startTestGateway({
    protocol: 'ssh',
    policy,
    config: {
      listen: { ssh: '127.0.0.1:0' },
      targets: [target('build', host), target('unwilling', unwilling)],
    },
  });
});
afterAll(async () => {
  await gateway?.close();
  await host?.close();
  await unwilling?.close();
  await rm(folder, { recursive: true, force: true });
});

/** Answers each question with what was asked of it. */
class EchoingAgent extends ssh2.BaseAgent {
  readonly questions: string[] = [];
  readonly open = new Set<Duplex>();

  override getIdentities(done: (error: Error | undefined, keys: never[]) => void): void {
    done(undefined, []);
  }
  override sign(): void {
    throw new Error('nobody signs here');
  }
  override getStream(done: (error: Error | undefined, stream: Duplex) => void): void {
    const stream: Duplex = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, written) => {
        this.questions.push(chunk.toString());
        stream.push(`answer to ${chunk.toString()}`);
        written();
      },
    });
    stream.on('end', () => stream.end()).once('close', () => this.open.delete(stream));
    stream.resume = Duplex.prototype.resume.bind(stream);
    this.open.add(stream);
    done(undefined, stream);
  }
}

async function connected<T>(
  roles: readonly string[],
  work: (client: Client, agent: EchoingAgent) => Promise<T>,
  username = 'build',
): Promise<T> {
  const password = await gateway.token({ roles: [...roles] });
  const agent = new EchoingAgent();
  const client = new ssh2.Client();
  await new Promise<void>((resolve, reject) => {
    client.on('ready', resolve).on('error', reject);
    const authHandler = [{ type: 'password' as const, username, password }];
    client.connect({ host: gateway.host, port: gateway.port, username, password, agent, authHandler });
  });
  try {
    return await work(client, agent);
  } finally {
    client.end();
  }
}

interface Ended {
  readonly shown: string;
  readonly errors: string;
}

/** Runs it to its end; `meanwhile` once it said something. */
function run(client: Client, command: string, agentForward: boolean, meanwhile?: () => Promise<void>): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const options = { agentForward } as ssh2.ExecOptions;
    client.exec(command, options, (error: Error | undefined, channel: ClientChannel) => {
      if (error !== undefined) return reject(error);
      let shown = '';
      let errors = '';
      channel.on('data', (chunk: Buffer) => (shown += chunk.toString()));
      channel.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
      channel.once('close', () => resolve({ shown, errors }));
      if (meanwhile === undefined) return void channel.end();
      channel.once('data', () => void meanwhile().then(() => channel.end(), reject));
    });
  });
}

/** What the audit has of the requests for an ssh-agent of those in a role: each decision, and how it ended. */
async function asked(role: string, whole: (found: Found[]) => boolean): Promise<Found[]> {
  for (let look = 0; look < looks_max; look++) {
    const records = await gateway.records();
    const found = records
      .filter(({ kind }) => kind === 'intent')
      .filter(
        (one) => JSON.stringify(one).includes('"request":"ssh_agent"') && JSON.stringify(one).includes(`"${role}"`),
      )
      .map((intent) => ({
        outcome: (intent['result'] as { outcome: string }).outcome,
        action: intent['action'],
        result: records.find(({ kind, decision_id }) => kind === 'outcome' && decision_id === intent['decision_id'])?.[
          'result'
        ],
      }));
    if (whole(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, look_ms));
  }
  throw new Error(`the audit has nothing such of ${role}`);
}
type Found = { readonly outcome: string; readonly action: unknown; readonly result: unknown };
const look_ms = 50;
const looks_max = 200;

test('is not lent where no rule allows it: whoever asks is told at once, and goes on without', async () => {
  const before = host.log.length;
  await connected(['plain'], async (client, agent) => {
    await expect(run(client, 'echo first', true)).rejects.toThrow('agent forwarding');
    const { shown } = await run(client, 'cat; echo second', false, undefined);
    expect(shown).toBe('second\n');
    await expect(host.askAgent('whose keys?')).rejects.toThrow();
    expect(agent.questions).toEqual([]);
  });
  expect(host.log.slice(before)).not.toContain('agent');
  expect(await asked('plain', ([one]) => one !== undefined)).toMatchObject([{ outcome: 'deny', action: 'transfer' }]);
});

test('is lent where a rule allows it, to the host of this client alone, and no longer than its session', async () => {
  await connected(['lends'], async (client, agent) => {
    await run(client, 'echo ready; cat', true, async () => {
      expect(await host.askAgent('first')).toBe('answer to first');
      expect(await host.askAgent('second')).toBe('answer to second');
    });
    expect(agent.questions).toEqual(['first', 'second']);
    // Another client's host has no way to it.
    await connected(['lends'], async (other, othersAgent) => {
      await run(other, 'echo ready; cat', false, async () => {
        await expect(host.askAgent('whose?')).rejects.toThrow();
      });
      expect([agent.questions, othersAgent.questions]).toEqual([['first', 'second'], []]);
    });
  });
  const found = await asked('lends', ([one]) => one?.result !== undefined);
  expect(found).toMatchObject([
    { outcome: 'allow', result: { status: 'ok', connections: 2, bytes: 11, sent_bytes: 31 } },
  ]);
});

test('is taken back when its session is ended, with whatever is open to it', async () => {
  await connected(['lends'], async (client, agent) => {
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    await run(client, 'echo ready; cat', true, async () => {
      const held = host.askAgent('third');
      await held;
      expect(agent.questions).toEqual(['third']);
      await gateway.gateway.sessions.kill({ target: 'build' }, {} as Identity, 'ended by a test');
      await closed;
      await expect(host.askAgent('fourth')).rejects.toThrow();
    });
    expect(agent.questions).toEqual(['third']);
  });
});

test('carries no more than its limit', async () => {
  await connected(['lends', 'little'], async (client) => {
    await run(client, 'echo ready; cat', true, async () => {
      expect(await host.askAgent('short')).toBe('answer to short');
      // What the host asks is what comes from it.
      expect(await host.askAgent('x'.repeat(40))).not.toContain('x'.repeat(40));
    });
  });
});

test('is not lent under masks, as nobody looks into it', async () => {
  await connected(['lends', 'masked'], async (client) => {
    const { shown, errors } = await run(client, 'echo run all the same', true);
    expect(shown).toBe('run all the same\n');
    expect(errors).toContain('not looked at');
    await expect(host.askAgent('whose?')).rejects.toThrow();
  });
});

test('a host that takes none has its command run without, and the client is told', async () => {
  await connected(
    ['lends'],
    async (client) => {
      const { shown, errors } = await run(client, 'echo run', true);
      expect({ shown, errors }).toEqual({ shown: 'run\n', errors: 'sallyport: the host takes no ssh-agent\r\n' });
      await expect(unwilling.askAgent('whose?')).rejects.toThrow();
    },
    'unwilling',
  );
  expect(unwilling.log).toEqual(expect.arrayContaining(['agent', "exec 'echo' run"]));
});
