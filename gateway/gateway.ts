import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import {
  baseFolder,
  packageRoot,
  policyFolder,
  type PolicyEvent,
  type PolicyKeeper,
  shadowFolder,
} from '../bundles/index.js';
import { approvalChores, openApprovals, requestLinks, type Approvers } from './approvals/index.js';
import { fileHeadStore, openForwardedAudit, openSigner, toldHeadStore } from './audit/index.js';
import { SharedHeads } from './audit-heads.js';
import { auditSinks } from './audit-sinks.js';
import type { Config } from './config/index.js';
import { openTargets } from './credentials/index.js';
import { ConfigError } from './errors.js';
import { Foresight } from './pipeline/foresight.js';
import { serveHttps } from './https.js';
import { openHooks } from './hooks/index.js';
import {
  createIdentity,
  openAssertions,
  openCertificates,
  openPeers,
  openSigningKeys,
  openSpent,
  openTickets,
  ownTokens,
  spentChores,
  ticketChores,
} from './identity/index.js';
import { Kills, liveSessions, Revisions, Revocations, Roster } from './live/index.js';
import { killedBecause } from './live/sessions.js';
import { Pipeline } from './pipeline/pipeline.js';
import { SharedPrompts } from './prompts/shared.js';
import type { Prompts } from './prompts/prompts.js';
import type { ListenAddress, Listener, Services } from './protocol.js';
import { openPolicies, state_ms_max } from './policies.js';
import { openRecorder } from './recordings/index.js';
import { protocols } from './registry.js';
import type { Rollout } from './rollout/index.js';
import { openDatabase, type Database } from './state/database.js';
import { embeddedHome, givenHome } from './state/home.js';
import type { Sessions } from './sessions.js';
import { keepHouse } from './state/housekeeping.js';
import { keptSecret } from './state/kept.js';
import { openMaskKey } from './state/mask-key.js';
import { openReplica } from './state/replica.js';
import { openSuccession } from './state/succession.js';
import { signIns } from './sign-in.js';
import { openTelling } from './status/index.js';
import { SharedUsage, usageChores } from './usage/shared.js';
import { Withholding } from './pipeline/withholding.js';

/** Assembles the gateway from its configuration, in the order in which a part needs the one before. */
export interface GatewayOptions {
  readonly config: Config;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  readonly onPolicy?: (event: PolicyEvent) => void;
}

export interface Gateway {
  readonly listeners: readonly Listener[];
  readonly policy: PolicyKeeper;
  /** The organisation's base, beneath it; undefined where the configuration names none. */
  readonly base: PolicyKeeper | undefined;
  /** What is tried beside it; undefined where the configuration names nothing. */
  readonly rollout: Rollout | undefined;
  readonly sessions: Sessions;
  readonly revocations: Revocations;
  readonly prompts: Prompts;
  /** The gateway's own; opened when something needs it. */
  readonly database: Database;
  /** People's side of approvals. */
  readonly approvers: Approvers;
  /** Resolves when what was recorded so far is in the audit's files. */
  recorded(): Promise<void>;
  close(): Promise<void>;
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, log, now = Date.now } = options;
  for (const warning of config.warnings) log.warn({}, warning);
  await mkdir(config.state.directory, { recursive: true, mode: 0o700 });

  const closing: (() => Promise<void> | void)[] = [];
  const close = async () => {
    for (const step of closing.splice(0).reverse()) await step();
  };
  try {
    const succession = await openSuccession(config.state.directory);
    const database = openDatabase({
      first: (queries) => succession.succeed(queries),
      home:
        config.state.postgres === undefined
          ? embeddedHome(config.state.directory, log)
          : givenHome(config.state.postgres),
      log,
    });
    closing.push(() => database.close());
    const inState = config.audit.remote.some((sink) => sink.type === 'postgres' && sink.database === 'state');
    if (config.state.postgres !== undefined || inState) database.start();
    // The audit is closed before the database, so that its last records and heads are kept there.
    const heads = fileHeadStore(config.state.directory);
    const sharedHeads = new SharedHeads({
      ...{ database, log, directory: config.state.directory },
      file: config.audit.sinks[0]!.file,
    });
    closing.push(() => sharedHeads.close());
    const version = await productVersion();
    const audit = await openForwardedAudit(
      {
        ...config.audit,
        seal: {
          signer: await openSigner({ key: config.audit.signing_key, directory: config.state.directory }),
          heads:
            config.state.postgres === undefined ? heads : toldHeadStore(heads, (ledger) => sharedHeads.keep(ledger)),
        },
        onUnsealed: (error) =>
          log.error({ err: error }, 'the head of the audit could not be signed; it is tried again'),
        version,
        now,
        onFailure: (error) =>
          log.error({ err: error }, 'the audit cannot be written: operations are refused until it can'),
        onResume: () => log.info({}, 'the audit is written again'),
        onRemoved: (files) => log.info({ files }, 'audit files that were kept long enough are removed'),
        onUnremoved: (error) => log.error({ err: error }, 'audit files could not be removed; it is tried again'),
        onTorn: (file) => log.warn({ file }, 'the audit ended in the middle of a line: its last record is not whole'),
      },
      auditSinks(config.audit.remote, { directory: config.state.directory, database, version, log }),
    );
    closing.push(() => audit.close());

    const replica = openReplica({ database, log, id: succession.id });
    closing.push(() => replica.close());
    const maskKey = await openMaskKey({ key: config.masks.key, directory: config.state.directory });
    // No target is called so.
    const withholding = new Withholding(maskKey('audit records'));
    keepHouse({
      database,
      replica,
      chores: [...approvalChores(config.approvals), ...usageChores, ...ticketChores, ...spentChores],
    });
    const link = config.listen.has('https') ? requestLinks(config.console.url) : undefined;
    const approvals = openApprovals({
      ...{ database, replica, audit, log, now, link },
      recordedHash: (hash) => withholding.hash(hash),
      ...config.approvals,
    });
    closing.push(() => approvals.close());
    const { webhooks } = config.approvals;
    const { approvers } = approvals;
    const hooks = openHooks({ database, replica, approvers, audit, log, now, link, webhooks });
    closing.push(() => hooks.close());

    const telling = openTelling({ config: config.policy.status, id: replica.id, version, log, now });
    closing.push(() => telling.close());
    const policies = await openPolicies({
      ...{ config, log, now, audit, database, telling },
      onEvent: (event) => options.onPolicy?.(event),
    });
    closing.push(() => policies.close());
    const { engine, policy, base, rollout, outdated } = policies;
    telling.start();

    const own = ownTokens({
      issuer: config.identity.ownTokens.issuer,
      targets: config.targets.map(({ input }) => input.name),
      keys: await openSigningKeys({
        file: config.identity.ownTokens.keys?.file,
        directory: config.state.directory,
        lifetime_ms_max: config.identity.tokenLifetimeMax_ms,
        now,
        log,
      }),
      now,
    });
    closing.push(() => own.close());
    const spent = openSpent(database);
    const identity = createIdentity({ ...config.identity, own, spent, now, log });
    closing.push(() => identity.close());

    const prompts = new SharedPrompts({ database, replica, log, now });
    closing.push(() => prompts.close());

    const shared = new SharedUsage({ database, log, now, active: () => database.started });
    closing.push(() => shared.close());
    const pipeline = new Pipeline({
      shared,
      prompts,
      engine,
      audit,
      withholding,
      durability: config.audit.durability,
      log,
      now,
      approvals: approvals.approvals,
      ...{ rollout, outdated },
    });
    policies.onSwap(() => pipeline.policyChanged());
    closing.push(() => pipeline.close());

    const roster = new Roster({ database, replica, live: () => pipeline.live() });
    const revisions = new Revisions({ database, replica, current: () => engine.current?.id, now });
    const kills = new Kills({
      ...{ database, replica, log },
      end: ({ query, why }) => pipeline.kill(query, killedBecause(why)),
    });
    closing.push(() => kills.close());
    const revokedMessage = 'terminating connection: the token was revoked';
    const revocations = new Revocations({
      ...{ database, replica, log, now },
      tokenLifetimeMax_ms: Math.max(
        config.identity.tokenLifetimeMax_ms,
        config.identity.mtls?.certificateLifetimeMax_ms ?? 0,
      ),
      strict: config.identity.revocationStrict,
    });
    revocations.subscribe((fits) => pipeline.revoke(fits, revokedMessage));
    closing.push(() => revocations.close());
    // What was revoked before this start has to be known before anybody signs in.
    if (config.state.postgres !== undefined || existsSync(path.join(config.state.directory, 'postgres'))) {
      await revocations.load(config.identity.revocationStrict ? state_ms_max : revocations_ms_max);
    }

    const tickets = openTickets({ database, own, identify: (token) => identity.identify(token) });
    const assertions = openAssertions({
      ...{ providers: config.identity.saml, spent, now, log },
      recipients: [`${own.issuer}/v1/saml/acs`, `${own.issuer}/v1/token`],
      tokenLifetimeMax_ms: config.identity.tokenLifetimeMax_ms,
      clockSkew_ms: config.identity.clockSkew_ms,
    });
    closing.push(() => assertions.close());
    const certificates = openCertificates({ own, identity, now });
    const peers = openPeers({ mtls: config.identity.mtls, now, log });
    closing.push(() => peers.close());
    const signing = signIns({ identity, tickets, assertions, certificates, peers, revocations, audit, log });
    const recorder =
      config.recordings === undefined ? undefined : await openRecorder({ config: config.recordings, log, now });
    if (recorder !== undefined) closing.push(() => recorder.close());
    closing.push(() => signing.settled());
    const targets = await openTargets({ ...config, log, now });
    closing.push(() => targets.close());
    const services: Services = {
      log,
      target: (protocol, name) => targets.find(protocol, name),
      targets: (protocol) => targets.all(protocol),
      maskKey,
      names: [config.console.url, config.identity.ownTokens.issuer].flatMap(hostIn),
      recorder,
      issuers: config.identity.providers.map(({ issuer }) => issuer),
      keep: (name, make) => keptSecret(path.join(config.state.directory, name), make),
      kept: async (prefix) => (await readdir(config.state.directory)).filter((name) => name.startsWith(prefix)),
      openSession: (opening) => {
        signing.admit(opening);
        const session = pipeline.open(opening);
        // Revoked between its sign-in and now: nobody would have found it among the sessions.
        if (revocations.isRevoked(session.principal)) pipeline.kill({ session: session.id }, revokedMessage);
        return session;
      },
      identify: (given, client, certificate) => signing.identify(given, client, certificate),
      provable: (name, client) => signing.provable(name, client),
      certified: (certificate, user, client) => signing.certified(certificate, user, client),
    };

    const listeners: Listener[] = [];
    const serve = async (
      name: string,
      address: ListenAddress | undefined,
      listen: (address: ListenAddress) => Promise<Listener | undefined>,
    ) => {
      if (address === undefined) return;
      try {
        const listener = await listen(address);
        if (listener === undefined) return;
        listeners.push(listener);
        closing.push(() => listener.close());
        log.info({ ...listener.address, protocol: name }, 'listening');
      } catch (error) {
        throw cannotListen(name, address, error);
      }
    };
    for (const protocol of protocols) {
      await serve(protocol.name, config.listen.get(protocol.name), async (address) =>
        protocol.listen?.(address, services),
      );
      for (const [name, listen] of Object.entries(protocol.listeners ?? {}))
        await serve(name, config.listen.get(name), (address) => listen(address, services));
    }
    const sessions = liveSessions({ pipeline, roster, kills, gateway: replica.id });
    await serve('https', config.listen.get('https'), () =>
      serveHttps({
        config,
        log,
        now,
        audit,
        engine,
        policy,
        base,
        rollout,
        telling,
        identify: (given, client, certificate) => signing.identify(given, client, certificate),
        assert: (given, client) => signing.assert(given, client),
        own,
        tickets,
        certificates,
        listeners,
        prompts,
        foresight: new Foresight({
          ...{ engine, rollout, protocols, now, targets: config.targets },
          bundles: [policyFolder, shadowFolder, baseFolder].map((folder) => folder(config.state.directory)),
        }),
        approvers,
        sessions,
        revocations,
        hooks: hooks.incoming,
        ...{ revisions, outdated, failing: () => [...targets.warnings(), ...revisions.warnings()] },
        mounts: protocols.flatMap((protocol) => protocol.mount?.(services) ?? []),
      }),
    );
    return {
      listeners,
      policy,
      base,
      rollout,
      database,
      approvers,
      sessions,
      revocations,
      prompts,
      recorded: () => audit.written(),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

const hostIn = (url: string | undefined): string[] =>
  url === undefined ? [] : [new URL(url).hostname.replace(/^\[|\]$/gu, '')];

/** As state_ms_max, for what was revoked: whoever has a state that is out of reach shall not wait long for a start. */
const revocations_ms_max = 5_000;

async function productVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  return version;
}

function cannotListen(protocol: string, { host, port }: { host: string; port: number }, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  const why =
    code === 'EADDRINUSE'
      ? 'something else listens there already'
      : code === 'EACCES'
        ? 'the port needs more rights than this process has'
        : code === 'EADDRNOTAVAIL'
          ? 'this machine has no such address'
          : undefined;
  if (why === undefined) return error;
  return new ConfigError(`listen.${protocol}: cannot listen on ${host}:${port}: ${why}`, { cause: error });
}
