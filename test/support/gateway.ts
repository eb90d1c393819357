import { chmod, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pino, type Logger } from 'pino';
import { stringify } from 'yaml';
import type { PolicyEvent } from '../../bundles/index.js';
import { loadConfig } from '../../gateway/config/index.js';
import { startGateway, type Gateway } from '../../gateway/gateway.js';
import { protocols } from '../../gateway/registry.js';
import { createIdentityProvider, type IdentityProvider, type TokenOptions } from './idp.js';
import type { TestDatabase } from './postgres.js';
import { WireClient } from './wire.js';

/** A whole gateway in this process, with a configuration, a policy folder and an issuer of its own. */
export interface TestGateway {
  readonly host: string;
  readonly port: number;
  /** Holds sallyport.yaml, policy/, jwks.json, audit.jsonl; removed at the end. */
  readonly folder: string;
  readonly gateway: Gateway;
  readonly idp: IdentityProvider;
  token(options?: TokenOptions): Promise<string>;
  /** A client that is signed in with a token, for the first target unless told otherwise. */
  open(options?: { token?: TokenOptions; database?: string; parameters?: Record<string, string> }): Promise<WireClient>;
  /** For `pg`, `postgres` and other drivers. */
  connection(
    token?: TokenOptions,
  ): Promise<{ host: string; port: number; user: string; password: string; database: string }>;
  /** Changes files of the policy folder and waits until the gateway has judged the change. */
  changePolicy(files: PolicyFiles): Promise<PolicyEvent>;
  /** What was recorded so far, oldest first. */
  records(): Promise<Record<string, unknown>[]>;
  close(): Promise<void>;
}

/** By path inside the policy folder; null removes. */
export type PolicyFiles = Readonly<Record<string, string | null>>;

export interface TestGatewayOptions {
  /** Absent: `config` names the targets and the listeners, and `protocol` the listener that is meant. */
  readonly database?: TestDatabase;
  readonly protocol?: string;
  /** Default: `allowEverything`. */
  readonly policy?: PolicyFiles;
  /** Targets' names; each is the same database. Default: orders. */
  readonly targets?: readonly string[];
  /** Who issues tokens; its keys are written beside the configuration. Default: one of its own. */
  readonly idp?: IdentityProvider;
  /** PEM; then the listener speaks TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string };
  /** Further or other keys of sallyport.yaml, at its top level. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly log?: Logger;
  readonly now?: () => number;
}

/** A policy that lets everything through, for tests of everything but policy. */
export const allowEverything: PolicyFiles = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1
`,
};

export async function startTestGateway(options: TestGatewayOptions): Promise<TestGateway> {
  const { database } = options;
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-gateway-'));
  const policyFolder = join(folder, 'policy');
  const targets = options.targets ?? ['orders'];
  const idp = options.idp ?? (await createIdentityProvider());
  const judged: ((event: PolicyEvent) => void)[] = [];
  try {
    await mkdir(policyFolder);
    await writeFiles(policyFolder, options.policy ?? allowEverything);
    await idp.writeJwks(join(folder, 'jwks.json'));
    if (options.tls !== undefined) {
      await writeFile(join(folder, 'certificate.pem'), options.tls.certificate);
      await writeFile(join(folder, 'key.pem'), options.tls.key);
      await chmod(join(folder, 'key.pem'), 0o600);
    }
    const file = join(folder, 'sallyport.yaml');
    await writeFile(
      file,
      stringify({
        listen: {
          postgres:
            options.tls === undefined
              ? '127.0.0.1:0'
              : {
                  address: '127.0.0.1:0',
                  tls: { certificate: { file: './certificate.pem' }, key: { file: './key.pem' } },
                },
        },
        identity: {
          providers: [
            {
              name: 'tests',
              type: 'oidc',
              issuer: idp.issuer,
              audience: idp.audience,
              jwks: { file: './jwks.json' },
              algorithms: ['ES256'],
              claims: { attributes: ['team'] },
            },
          ],
          token_lifetime_max: '1h',
        },
        policy: { directory: './policy' },
        targets: (database === undefined ? [] : targets).map((name) => ({
          name,
          protocol: 'postgres',
          labels: { environment: 'test' },
          upstream: {
            host: database?.host,
            port: database?.port,
            database: database?.database,
            user: database?.user,
            password: `\${UPSTREAM_PASSWORD}`,
            tls: 'disable',
          },
        })),
        state: { directory: './.sallyport' },
        audit: { sinks: [{ file: './audit.jsonl' }] },
        ...options.config,
      }),
    );
    const config = await loadConfig(file, {
      env: { ...process.env, UPSTREAM_PASSWORD: database?.password },
      protocols,
    });
    const gateway = await startGateway({
      config,
      log: options.log ?? pino({ level: 'silent' }),
      ...(options.now === undefined ? {} : { now: options.now }),
      onPolicy: (event) => judged.splice(0).forEach((tell) => tell(event)),
    });
    const spoken = options.protocol ?? 'postgres';
    const listener = gateway.listeners.find(({ protocol }) => protocol === spoken);
    if (listener === undefined) throw new Error(`the gateway listens for no ${spoken} clients`);
    const { host, port } = listener.address;
    const first = targets[0] ?? '';
    const connection = async (token?: TokenOptions) => ({
      host,
      port,
      user: 'agent',
      password: await idp.issueToken(token),
      database: first,
    });
    return {
      host,
      port,
      folder,
      gateway,
      idp,
      token: (token) => idp.issueToken(token),
      connection,
      open: async ({ token, database: name, parameters } = {}) =>
        WireClient.open({
          ...(await connection(token)),
          ...(name === undefined ? {} : { database: name }),
          ...(parameters === undefined ? {} : { parameters }),
          ...(options.tls === undefined ? {} : { tls: { ca: options.tls.certificate, servername: 'localhost' } }),
        }),
      async changePolicy(files) {
        const event = new Promise<PolicyEvent>((settle) => judged.push(settle));
        await writeFiles(policyFolder, files);
        return event;
      },
      async records() {
        await gateway.recorded();
        const text = await readFile(join(folder, 'audit.jsonl'), 'utf8').catch(() => '');
        // The last line may be under way still.
        return text
          .slice(0, text.lastIndexOf('\n') + 1)
          .split('\n')
          .filter((line) => line !== '')
          .map((line) => JSON.parse(line) as Record<string, unknown>);
      },
      async close() {
        await gateway.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Each file is moved into place whole, as editors and volume mounts do. */
async function writeFiles(folder: string, files: PolicyFiles): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    if (content === null) {
      await rm(path, { force: true });
      continue;
    }
    await mkdir(dirname(path), { recursive: true });
    await writeFile(`${path}.new~`, content);
    await rename(`${path}.new~`, path);
  }
}
