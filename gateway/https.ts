import type { Engine } from '#engine';
import type { Logger } from 'pino';
import type { PolicyKeeper } from '../bundles/index.js';
import { apiGate, healthGate, hookGate, listenHttps, ownCertificate } from './api/index.js';
import type { Approvers } from './approvals/approvals.js';
import { filesOf, type Audit } from './audit/index.js';
import type { Config } from './config/index.js';
import type { IncomingHooks } from './hooks/index.js';
import type { Prompts } from './prompts.js';
import type { Listener, Services } from './protocol.js';
import type { Sessions } from './sessions.js';

/** What is served over HTTPS, put together: health and the API. */
export interface HttpsParts {
  readonly config: Config;
  readonly log: Logger;
  readonly now: () => number;
  readonly audit: Audit;
  readonly engine: Engine;
  readonly policy: PolicyKeeper;
  readonly identify: Services['identify'];
  readonly prompts: Prompts;
  readonly approvers?: Approvers | undefined;
  readonly sessions?: Sessions | undefined;
  /** Through what people answer with a signature in the place of a token. */
  readonly hooks: IncomingHooks;
}

/** Undefined where the configuration has no `listen.https`. */
export async function serveHttps(parts: HttpsParts): Promise<Listener | undefined> {
  const { config, log, now, audit, engine, policy } = parts;
  const address = config.listen.get('https');
  if (address === undefined) return undefined;
  const own =
    address.tls === undefined ? await ownCertificate(config.state.directory, namesOf(config), now()) : undefined;
  if (own !== undefined) {
    log.info({ file: own.file, fingerprint: own.fingerprint }, 'https: the certificate was made by this gateway');
  }
  const api = apiGate({
    identify: parts.identify,
    roles: config.console,
    approvers: parts.approvers,
    sessions: parts.sessions,
    prompts: parts.prompts,
    audit,
    auditFiles: async () => (await Promise.all(config.audit.sinks.map(({ file }) => filesOf(file)))).flat(),
    policy: { status: () => policy.status(), rules: () => engine.current?.rules ?? [] },
    log,
    now,
  });
  const listener = await listenHttps({
    address: { ...address, tls: own ?? (address.tls as NonNullable<typeof address.tls>) },
    gates: [healthGate(() => engine.current !== undefined), api, hookGate(parts.hooks, now)],
    log,
    now,
    strictTransport: own === undefined,
  });
  return own === undefined ? listener : { ...listener, note: `certificate made here, SHA-256 ${own.fingerprint}` };
}

/** What a certificate that is made here has to be good for. */
function namesOf({ listen, console: { url } }: Config): string[] {
  const host = listen.get('https')?.host ?? '';
  const any = host === '0.0.0.0' || host === '::';
  return [...(any ? [] : [host]), ...(url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/gu, '')])];
}
