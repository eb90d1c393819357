import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import {
  apiGate,
  healthGate,
  listenHttps,
  ownCertificate,
  type ApiParts,
  type HttpGate,
} from '../../gateway/api/index.js';
import { openAudit } from '../../gateway/audit/index.js';
import { createIdentity, type Identities } from '../../gateway/identity/index.js';
import { PromptsInMemory } from '../../gateway/prompts/prompts.js';
import { ReplayShelf } from '../../gateway/replay/shelf.js';
import type { KillQuery, LiveSession } from '../../gateway/sessions.js';
import { FakeApprovers } from './approvers.js';
import { caller } from './https.js';
import { createIdentityProvider, type IdentityProvider } from './idp.js';

/** The HTTPS listener with the API over people and sessions that the test plays: no database, no protocol. */
export interface TestApi {
  readonly url: string;
  readonly port: number;
  /** The certificate that the gateway made for itself: its text, and its file. */
  readonly ca: string;
  readonly caFile: string;
  readonly folder: string;
  readonly idp: IdentityProvider;
  readonly approvers: FakeApprovers;
  readonly live: LiveSession[];
  readonly killed: KillQuery[];
  readonly call: ReturnType<typeof caller>;
  records(): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

export interface TestApiOptions {
  readonly idp?: IdentityProvider;
  /** What else is served, given what the API stands on. */
  readonly gates?: (parts: ApiParts) => readonly HttpGate[];
  readonly now?: () => number;
  /** How many reports of replays are kept, and for how long. */
  readonly replays?: ConstructorParameters<typeof ReplayShelf>[2];
  /** Whether there may be recordings: in the folder "recordings" inside of `folder`. */
  readonly recordings?: boolean;
}

/** Takes the tokens of one issuer, whose keys stand in the folder. */
export function apiIdentities(idp: IdentityProvider, folder: string, now: () => number = Date.now): Identities {
  return createIdentity({
    providers: [
      {
        name: 'tests',
        issuer: idp.issuer,
        jwks: { file: join(folder, 'jwks.json') },
        audience: [idp.audience],
        algorithms: ['ES256'],
        claims: {
          groups: 'groups',
          roles: 'roles',
          purpose: 'purpose',
          kind: 'kind',
          prompt: 'prompt',
          attributes: [],
        },
        kindDefault: 'service',
      },
    ],
    tokenLifetimeMax_ms: 3_600_000,
    clockSkew_ms: 30_000,
    now,
  });
}

export async function startTestApi(options: TestApiOptions = {}): Promise<TestApi> {
  const { now = Date.now } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-api-'));
  const auditFile = join(folder, 'audit.jsonl');
  const idp = options.idp ?? (await createIdentityProvider());
  await idp.writeJwks(join(folder, 'jwks.json'));
  const identity = apiIdentities(idp, folder, now);
  const audit = await openAudit({ durability: 'by_action', sinks: [{ file: auditFile }], now });
  const own = await ownCertificate(folder, ['127.0.0.1'], now());
  const approvers = new FakeApprovers();
  const live: LiveSession[] = [];
  const killed: KillQuery[] = [];
  const parts: ApiParts = {
    identify: (token) => identity.identify(token),
    roles: { administrators: ['security'], auditors: ['audit'], publishers: ['ci'] },
    approvers,
    sessions: {
      list: async () => live,
      kill: async (query) => {
        killed.push(query);
        return { killed: live.filter(({ principal }) => principal.subject === query.subject).length };
      },
    },
    prompts: new PromptsInMemory(now),
    audit,
    auditFiles: async () => [auditFile],
    replays: new ReplayShelf(folder, now, options.replays),
    recordings: options.recordings === true ? join(folder, 'recordings') : undefined,
    policy: {
      status: () => ({ format: 1, source: 'tests', pid: 1, restored: false, history: [] }),
      inForce: () => undefined,
      rules: () => [],
      asOpa: () => ({ labels: { id: 'tests' }, bundles: {}, plugins: {} }),
    },
    log: pino({ level: 'silent' }),
    now,
  };
  const listener = await listenHttps({
    address: { host: '127.0.0.1', port: 0, tls: own },
    gates: [healthGate(() => ({ reasons: [], warnings: [] })), apiGate(parts), ...(options.gates?.(parts) ?? [])],
    log: parts.log,
    now,
    strictTransport: false,
  });
  const { host, port } = listener.address;
  return {
    url: `https://${host}:${String(port)}`,
    port,
    ca: own.certificate,
    caFile: own.file,
    folder,
    idp,
    approvers,
    live,
    killed,
    call: caller({ host, port, ca: own.certificate }),
    records: async () =>
      (await readFile(auditFile, 'utf8'))
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    async close() {
      await listener.close();
      identity.close();
      await audit.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
