import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { stringify } from 'yaml';
import { findOpa, type PolicyEvent } from '../../bundles/index.js';
import { packageRoot } from '../../bundles/index.js';
import { loadConfig } from '../../gateway/config/index.js';
import { startGateway } from '../../gateway/gateway.js';
import { protocols } from '../../gateway/registry.js';
import { startEmbeddedPostgres, throwawaySettings } from '../../gateway/state/embedded.js';
import { createApprover, type Approver } from './approver.js';
import { freeOrAny, usualPorts } from './ports.js';
import type { Printer } from './print.js';
import { audience, startProvider, token_seconds, type DemoClient, consoleClient } from './provider.js';
import { createRepository } from './repository.js';
import { fillShop } from './shop.js';
import type { DemoPerson } from './sign-in-page.js';
import { StepFailed, type Stage } from './steps.js';

/** Everything that the demo needs, up and running. */
export interface World extends Pick<Stage, 'commitChange' | 'diff' | 'inForce'> {
  readonly approver: Approver;
  /** Through the gateway; the password is a token. */
  readonly connection: {
    readonly host: string;
    readonly port: number;
    readonly database: string;
    readonly user: string;
  };
  token(): Promise<string>;
  /** Readable by its owner alone, and renewed for as long as the world is up. */
  readonly tokenFile: string;
  /** Where a person answers, and as whom. */
  readonly console: { readonly url: string; readonly name: string; readonly password: string };
  readonly policyDirectory: string;
  readonly auditFile: string;
  logEnd(): Promise<string>;
  close(): Promise<void>;
}

const target = 'shop';
const demoFiles = join(packageRoot, 'examples/demo');

/** A policy that is not in force by then was refused, or something is wrong. */
const in_force_ms_max = 60_000;
const log_lines_shown = 15;

const agent: DemoClient = {
  id: 'agent:billing-bot',
  secret: randomBytes(16).toString('hex'),
  claims: {
    kind: 'agent',
    groups: ['agents', 'billing'],
    roles: ['readonly'],
    purpose: 'month-end report',
    team: 'finance',
    prompt: {
      id: 'month-end-2026-10',
      text: 'Prepare the month-end report for October: revenue by region, payments by method.',
    },
  },
};

/** Who answers what waits: at the console with a password, or over the API with a token. */
const owner: DemoClient & DemoPerson = {
  id: 'ada@shop.example',
  secret: randomBytes(16).toString('hex'),
  password: randomBytes(6).toString('base64url'),
  claims: { kind: 'human', groups: ['shop-owners'], roles: [] },
};

/** Builds it, saying what stands. Whatever goes wrong, what was already built is taken down again. */
export async function buildWorld(print: Printer): Promise<World> {
  const closers: (() => unknown)[] = [];
  const close = async () => {
    // In reverse: what was built last stands on what was built first. One that fails doesn't keep the others.
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) {
      try {
        await closer();
      } catch (error) {
        print.remark(`while ending: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  try {
    return { ...(await build(print, closers)), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(print: Printer, closers: (() => unknown)[]): Promise<Omit<World, 'close'>> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-'));
  closers.push(() => rm(folder, { recursive: true, force: true }));

  // Before anything else: the one part that may have to be fetched.
  await findOpa({ progress: (line) => print.remark(line) });

  const database = await startEmbeddedPostgres({
    port: usualPorts.database,
    password: randomBytes(16).toString('hex'),
    settings: throwawaySettings,
    say: (line) => print.remark(line),
  });
  closers.push(() => database.stop());
  if (database.port !== usualPorts.database)
    print.remark(`Port ${String(usualPorts.database)} is taken: the database is on another one.`);
  const role = { name: 'sallyport', password: randomBytes(16).toString('hex') };
  const counts = await fillShop(database.databaseUrl('postgres'), role);
  const count = (number: number, what: string) => `${number.toLocaleString('en').replaceAll(',', ' ')} ${what}`;
  print.ready(
    'database',
    `Postgres on ${database.host}:${String(database.port)}: a shop with ${count(counts.customers, 'customers')}, ${count(counts.orders, 'orders')}, ${count(counts.payments, 'payments')}`,
  );

  const provider = await startProvider([agent, owner], [owner], usualPorts.provider);
  closers.push(() => provider.close());
  if (provider.moved)
    print.remark(`Port ${String(usualPorts.provider)} is taken: the identity provider is on another one.`);
  print.ready('identity', `OpenID provider at ${provider.issuer}, tokens for ${String(token_seconds / 60)} minutes`);

  const policyDirectory = join(folder, 'policy');
  const repository = await createRepository(policyDirectory);
  const first = await repository.commit(join(demoFiles, 'policy'), 'What agents may do in the shop');
  print.ready('policy', `git repository ${policyDirectory}, commit ${first.id.slice(0, 8)}`);

  const port = await freeOrAny(usualPorts.gateway);
  if (port === 0) print.remark(`Port ${String(usualPorts.gateway)} is taken: the gateway is on another one.`);
  const consolePort = await freeOrAny(usualPorts.console);
  if (consolePort === 0) print.remark(`Port ${String(usualPorts.console)} is taken: the console is on another one.`);
  const auditFile = join(folder, 'audit.jsonl');
  const configFile = join(folder, 'sallyport.yaml');
  await writeFile(
    configFile,
    stringify({
      listen: { postgres: `127.0.0.1:${String(port)}`, https: `127.0.0.1:${String(consolePort)}` },
      identity: {
        providers: [
          {
            name: 'demo',
            type: 'oidc',
            issuer: provider.issuer,
            audience,
            algorithms: ['ES256'],
            claims: { attributes: ['team'] },
          },
        ],
        token_lifetime_max: '1h',
      },
      policy: { git: { url: './policy', branch: 'main' } },
      targets: [
        {
          name: target,
          protocol: 'postgres',
          labels: { environment: 'demo' },
          upstream: {
            host: database.host,
            port: database.port,
            database: 'postgres',
            user: role.name,
            password: `\${SHOP_PASSWORD}`,
            tls: 'disable',
          },
        },
      ],
      console: {
        auditors: ['shop-owners'],
        publishers: ['shop-owners'],
        administrators: ['shop-owners'],
        sign_in: { client_id: consoleClient.id, client_secret: `\${CONSOLE_SECRET}` },
      },
      state: { directory: './.sallyport' },
      audit: { sinks: [{ file: './audit.jsonl' }] },
    }),
    { mode: 0o600 },
  );
  const logFile = join(folder, 'gateway.log');
  const config = await loadConfig(configFile, {
    env: { SHOP_PASSWORD: role.password, CONSOLE_SECRET: consoleClient.secret },
    protocols,
  });
  const news = new PolicyNews();
  const gateway = await startGateway({
    config,
    log: pino({ level: 'info' }, pino.destination({ dest: logFile, sync: true })),
    onPolicy: (event) => news.hear(event),
  });
  closers.push(() => gateway.close());
  const listener = gateway.listeners.find(({ protocol }) => protocol === 'postgres');
  if (listener === undefined) throw new Error('the gateway listens for no Postgres clients');
  const { host, port: gatewayPort } = listener.address;
  print.ready(
    'gateway',
    `${host}:${String(gatewayPort)}, with ${gateway.policy.status().revision?.slice(0, 12) ?? 'no policy'} in force`,
  );
  print.ready('agent', `${agent.id}: groups agents and billing, role readonly, purpose "month-end report"`);

  const api = gateway.listeners.find(({ protocol }) => protocol === 'https');
  if (api === undefined) throw new Error('the gateway serves no API');
  const apiUrl = `https://${api.address.host}:${String(api.address.port)}`;
  await provider.admitConsole(apiUrl);
  print.ready('console', `${apiUrl}/console/ (its certificate is its own: a browser asks once whether to go on)`);
  print.ready('owner', `${owner.id}: group shop-owners, password ${owner.password}`);
  const approver = createApprover({
    gateway: apiUrl,
    ca: join(folder, '.sallyport', 'https.pem'),
    token: () => provider.token(owner),
  });

  const tokenFile = join(folder, 'token');
  const token = () => provider.token(agent);
  const writeToken = async () => {
    // Moved into place: whoever reads never sees half a token.
    await writeFile(`${tokenFile}.new`, await token(), { mode: 0o600 });
    await rename(`${tokenFile}.new`, tokenFile);
  };
  await writeToken();
  const renewal = setInterval(
    () => {
      writeToken().catch((error: unknown) => print.remark(`no new token: ${String(error)}`));
    },
    (token_seconds * 1000) / 3,
  );
  closers.push(() => clearInterval(renewal));

  return {
    connection: { host, port: gatewayPort, database: target, user: 'agent' },
    token,
    tokenFile,
    approver,
    console: { url: `${apiUrl}/console/`, name: owner.id, password: owner.password },
    policyDirectory,
    auditFile,
    commitChange: () => repository.commit(join(demoFiles, 'change'), 'The month-end report reads payments'),
    diff: (commit) => repository.diff(commit),
    inForce: (commit) => news.inForce(commit),
    async logEnd() {
      const text = await readFile(logFile, 'utf8').catch(() => '');
      return text.trimEnd().split('\n').slice(-log_lines_shown).map(readable).join('\n');
    },
  };
}

/** A line of the gateway's log without what only a collector of logs needs. */
function readable(line: string): string {
  try {
    const { time, msg, err } = JSON.parse(line) as {
      time: number;
      msg: string;
      err?: { message: string; detail?: string };
    };
    const cause = err === undefined ? '' : `: ${err.message}${err.detail === undefined ? '' : ` (${err.detail})`}`;
    return `${new Date(time).toISOString().slice(11, 23)} ${msg}${cause}`;
  } catch {
    return line;
  }
}

/** Waits for what the gateway says about a commit. What was said before somebody asked counts as well. */
class PolicyNews {
  private readonly said = new Map<string, string | undefined>();
  private wake: () => void = () => undefined;

  hear(event: PolicyEvent): void {
    if (event.revision === undefined) return;
    this.said.set(event.revision, event.type === 'refused' ? event.error : undefined);
    this.wake();
  }

  async inForce(commit: string): Promise<void> {
    const revision = `git:${commit}`;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, fail) => {
      timer = setTimeout(
        () => fail(new Error(`commit ${commit} was not in force after ${String(in_force_ms_max / 1000)} s`)),
        in_force_ms_max,
      );
    });
    try {
      while (!this.said.has(revision)) {
        await Promise.race([new Promise<void>((settle) => (this.wake = settle)), late]);
      }
    } finally {
      clearTimeout(timer);
    }
    const refused = this.said.get(revision);
    if (refused !== undefined) throw new StepFailed(`the commit was refused: ${refused}`);
  }
}
