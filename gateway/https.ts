import type { Engine } from '#engine';
import type { Logger } from 'pino';
import type { PolicyKeeper } from '../bundles/index.js';
import {
  apiGate,
  discoveryGate,
  exchangeGate,
  healthGate,
  hookGate,
  listenHttps,
  ownCertificate,
  policyHookGate,
  samlGate,
  type ApiParts,
  type Health,
  type HttpGate,
} from './api/index.js';
import type { Approvers } from './approvals/approvals.js';
import { filesOf, type Audit } from './audit/index.js';
import type { Config } from './config/index.js';
import { consoleGate } from './console/index.js';
import type { Foresight } from './pipeline/foresight.js';
import type { IncomingHooks } from './hooks/index.js';
import { createIdentity, type Certificates, type OwnTokens, type Tickets } from './identity/index.js';
import type { Revisions, Revocations } from './live/index.js';
import type { Prompts } from './prompts/prompts.js';
import type { Listener, Mount, Services } from './protocol.js';
import { ReplayShelf } from './replay/index.js';
import type { Rollout } from './rollout/index.js';
import type { Sessions } from './sessions.js';
import type { Telling } from './status/index.js';

/** What is served over HTTPS, put together: health, the API and the console. */
export interface HttpsParts {
  readonly config: Config;
  readonly log: Logger;
  readonly now: () => number;
  readonly audit: Audit;
  readonly engine: Engine;
  readonly policy: PolicyKeeper;
  /** The organisation's base. */
  readonly base: PolicyKeeper | undefined;
  readonly rollout?: Rollout | undefined;
  /** How the policy stands, as OPA says it. */
  readonly telling: Telling;
  readonly identify: Services['identify'];
  /** Whom a SAML assertion is about. */
  readonly assert: NonNullable<ApiParts['assert']>;
  /** What the gateway issues itself. */
  readonly own: OwnTokens;
  readonly tickets: Tickets;
  readonly certificates: Certificates;
  /** Those that listen already. */
  readonly listeners: readonly Listener[];
  readonly prompts: Prompts;
  readonly foresight: Foresight;
  readonly approvers?: Approvers | undefined;
  readonly sessions?: Sessions | undefined;
  readonly revocations?: Revocations | undefined;
  /** Through what people answer with a signature in the place of a token. */
  readonly hooks: IncomingHooks;
  /** What fails of the targets' credentials, a line each. */
  readonly failing: () => readonly string[];
  readonly outdated: (() => string | undefined) | undefined;
  readonly revisions: Pick<Revisions, 'others'>;
  /** Protocols that are reached through this listener. */
  readonly mounts: readonly Mount[];
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
  const apiParts: ApiParts = {
    identify: parts.identify,
    assert: config.identity.saml.length === 0 ? undefined : parts.assert,
    roles: config.console,
    approvers: parts.approvers,
    sessions: parts.sessions,
    revocations: parts.revocations,
    tickets: parts.tickets,
    certificates: parts.certificates,
    reachable: (name) => reachable(name, parts),
    foresight: parts.foresight,
    prompts: parts.prompts,
    audit,
    auditFiles: async () => (await Promise.all(config.audit.sinks.map(({ file }) => filesOf(file)))).flat(),
    recordings: config.recordings?.folder,
    replays: new ReplayShelf(config.state.directory, now),
    policy: {
      status: () => policy.status(),
      inForce: () => engine.current?.id,
      base: () => parts.base?.status(),
      rules: () => engine.current?.rules ?? [],
      others: () => parts.revisions.others(),
      shadow: () => shadowOf(parts.rollout),
      asOpa: () => parts.telling.document(),
      sending: () => parts.telling.sending,
    },
    policyLink: config.console.policy_link,
    log,
    now,
  };
  let port = address.port;
  const page = openConsole(parts, apiParts, () => config.console.url ?? originOf({ host: address.host, port }));
  const listener = await listenHttps({
    address: { ...address, tls: own ?? (address.tls as NonNullable<typeof address.tls>) },
    gates: [
      healthGate(() => healthOf(parts)),
      discoveryGate(parts.own, config.identity.login),
      exchangeGate(apiParts, parts.own),
      ...(config.identity.saml.length === 0 ? [] : [samlGate(apiParts, parts.own)]),
      apiGate(apiParts),
      hookGate(parts.hooks, now),
      ...policyHooks(parts),
      ...(page === undefined ? [] : [page.gate]),
    ],
    mounts: parts.mounts,
    log,
    now,
    strictTransport: own === undefined,
  });
  port = listener.address.port;
  const close = async () => {
    await listener.close();
    page?.close();
  };
  return {
    ...listener,
    close,
    ...(own === undefined ? {} : { note: `certificate made here, SHA-256 ${own.fingerprint}` }),
  };
}

const healthOf = ({ engine, audit, failing, telling, outdated }: HttpsParts): Health => ({
  reasons: [
    ...(engine.current === undefined ? ['no policy is in force'] : []),
    ...[outdated?.() ?? []].flat(),
    ...(audit.refusal === undefined ? [] : [audit.refusal.message]),
  ],
  warnings: [...(audit.warnings ?? []), ...failing(), ...telling.warnings()],
});

/** Where the repository has a webhook: a push to it may be one to what is tried, too. */
function policyHooks({ config, policy, base, rollout, now }: HttpsParts): HttpGate[] {
  const secret = 'git' in config.policy ? config.policy.git.webhook?.secret : undefined;
  if (secret === undefined) return [];
  const pushed = () => {
    policy.look();
    base?.look();
    rollout?.keeper.look();
  };
  return [policyHookGate(secret, pushed, now)];
}

/** What is tried beside the policy: its status, and what it would decide otherwise. */
const shadowOf = (rollout: Rollout | undefined) =>
  rollout === undefined ? undefined : { status: rollout.keeper.status(), report: rollout.report() };

function reachable(
  name: string,
  { config, listeners, mounts }: HttpsParts,
): ReturnType<NonNullable<ApiParts['reachable']>> {
  const target = config.targets.find(({ input }) => input.name === name);
  if (target === undefined) return undefined;
  const { protocol } = target.input;
  const listener = listeners.find((known) => known.protocol === protocol);
  // Protocols that are spoken over HTTPS are reached where the API is, at a path of theirs.
  const mounted = mounts.find(({ prefix }) => prefix === `/${protocol}/`);
  const reached = mounted?.reaches?.(target) !== false;
  if (listener === undefined && mounted !== undefined && reached)
    return { name, protocol, path: `${mounted.prefix}${encodeURIComponent(name)}`, tls: true };
  const tls = config.listen.get(protocol)?.tls !== undefined;
  if (listener === undefined) return { name, protocol, tls };
  const { address, hostKeys, hostAuthority } = listener;
  return {
    ...{ name, protocol, port: address.port, tls },
    ...(hostKeys === undefined ? {} : { host_keys: hostKeys }),
    ...(hostAuthority === undefined ? {} : { host_authority: hostAuthority }),
  };
}

/** Undefined where the configuration says nothing of how people sign in. */
function openConsole(
  { config, log, now }: HttpsParts,
  api: ApiParts,
  origin: () => string,
): { readonly gate: HttpGate; close(): void } | undefined {
  const signIn = config.console.sign_in;
  if (signIn === undefined) return undefined;
  // An ID token is for the console and for nobody else; a token for the gateway signs nobody in here.
  // It is fetched by the gateway itself, for a code and a nonce that are good once.
  const provider = { ...signIn.provider, audience: [signIn.client_id], singleUse: false };
  const identity = createIdentity({ ...config.identity, providers: [provider], now, log });
  const gate = consoleGate(api, { signIn, origin, identify: (idToken) => identity.identify(idToken) });
  return { gate, close: () => identity.close() };
}

/** Where a browser on this machine reaches the listener. */
function originOf({ host, port }: { host: string; port: number }): string {
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return new URL(`https://${name}:${String(port)}`).origin;
}

/** What a certificate that is made here has to be good for. */
function namesOf({ listen, console: { url } }: Config): string[] {
  const host = listen.get('https')?.host ?? '';
  const any = host === '0.0.0.0' || host === '::';
  return [...(any ? [] : [host]), ...(url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/gu, '')])];
}
