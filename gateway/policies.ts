import { createEngine, type Engine, type Revision } from '#engine';
import type { Logger } from 'pino';
import {
  baseFolder,
  BundleError,
  keepPolicy,
  openSource,
  policyFolder,
  type PolicyEvent,
  type PolicyKeeper,
  shadowFolder,
  type Source,
} from '../bundles/index.js';
import type { Audit } from './audit/record.js';
import type { Config, PolicySource } from './config/index.js';
import { AuditError, ConfigError } from './errors.js';
import { Base, baseLayer, Upper } from './layers.js';
import { policyAge } from './policy-age.js';
import { dataChecks, filterChecks, protocols } from './registry.js';
import { openRollout, type Rollout } from './rollout/index.js';
import type { Database } from './state/database.js';
import type { Telling } from './status/index.js';

export interface PoliciesOptions {
  readonly config: Config;
  readonly audit: Audit;
  /** Started as soon as a policy wants it: for people who answer, and for what was used before. */
  readonly database: Database;
  readonly telling: Telling;
  readonly log: Logger;
  readonly now: () => number;
  /** Of the policy itself, after it was recorded. */
  readonly onEvent: (event: PolicyEvent) => void;
}

/** What judges here: the policy, the organisation's base beneath it, and what is tried beside them. */
export interface Policies {
  readonly engine: Engine;
  readonly policy: PolicyKeeper;
  /** Undefined where the configuration names none. */
  readonly base: PolicyKeeper | undefined;
  /** Undefined where nothing is tried. */
  readonly rollout: Rollout | undefined;
  /** Undefined where a policy may be as old as it is. */
  readonly outdated: ReturnType<typeof policyAge> | undefined;
  /** Told whenever what judges has changed. */
  onSwap(tell: () => void): void;
  close(): Promise<void>;
}

/** Until when the start waits for the state. It goes on without: what needs it is refused, and says so. */
export const state_ms_max = 30_000;

/** Resolves when each has a revision that judges, or has said why it has none; throws a ConfigError for what cannot be a source. */
export async function openPolicies(options: PoliciesOptions): Promise<Policies> {
  const { config, audit, database, telling, log, now } = options;
  const { shadow, base: organisation } = config.policy;
  const closing: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const step of closing.splice(0).reverse()) await step();
  };
  const onStatus = () => telling.changed();
  const engine = createEngine();
  const onSwap: (() => void)[] = [];
  let tried: () => Revision | undefined = () => undefined;
  const judging = () => [engine.current, tried()].filter((revision) => revision !== undefined);
  const swapped = () => {
    if (asksPeople(judging())) database.start();
    for (const tell of onSwap) tell();
  };
  const surroundings = {
    filters: filterChecks,
    data: dataChecks,
    targets: config.targets.map(({ input }) => input.name),
  };
  const progress = (message: string) => log.info({}, message);
  try {
    const lower = organisation && new Base();
    // Before the policy itself: without its base that judges nothing.
    const base =
      organisation &&
      (await keepPolicy({
        ...{ source: sourceOf(organisation, config), engine: lower!, log, surroundings, progress },
        directory: baseFolder(config.state.directory),
        onStatus,
        onEvent: (event) => {
          record(audit, log, { ...event, layer: baseLayer, ...together(engine) });
          swapped();
        },
      }));
    if (base !== undefined) {
      closing.push(() => base.close());
      telling.add(baseLayer, base);
    }
    const policy = await keepPolicy({
      source: sourceOf(config.policy, config),
      engine: new Upper(engine, lower),
      directory: policyFolder(config.state.directory),
      log,
      surroundings,
      progress,
      onStatus,
      ...(shadow && { candidates: shadowFolder(config.state.directory) }),
      onEvent: (event) => {
        record(audit, log, { ...event, ...(lower && together(engine)) });
        swapped();
        options.onEvent(event);
      },
    });
    closing.push(() => policy.close());
    telling.add('policy', policy);
    const outdated = ageOf(config.policy, policy, base, now);
    const rollout =
      shadow &&
      (await openRollout({
        ...{ source: sourceOf(shadow, config), canary: shadow.canary, base: lower, surroundings, progress, log, now },
        stateDirectory: config.state.directory,
        onEvent: (event) => {
          record(audit, log, { ...event, role: 'shadow' });
          swapped();
        },
      }));
    if (rollout !== undefined) {
      closing.push(() => rollout.close());
      tried = () => rollout.candidate;
      onSwap.push(() => rollout.enforcing(engine.current?.id));
      swapped();
    }
    // A hold that comes with the first connection shall find somebody to ask.
    if (asksPeople(judging()) || (database.started && countsUse(judging())))
      await database.ready(state_ms_max).catch(() => undefined);
    return { ...{ engine, policy, base, rollout, outdated, close }, onSwap: (tell) => void onSwap.push(tell) };
  } catch (error) {
    await close();
    throw error;
  }
}

function ageOf(
  { age_ms_max }: Config['policy'],
  policy: PolicyKeeper,
  base: PolicyKeeper | undefined,
  now: () => number,
) {
  const layers = new Map([['policy', policy], ...(base === undefined ? [] : [[baseLayer, base] as const])]);
  return age_ms_max === undefined ? undefined : policyAge(age_ms_max, layers, now);
}

/** Whether a policy that is enforced has rules that hold. */
const asksPeople = (revisions: readonly Revision[]) =>
  revisions.some(({ rules }) => rules.some(({ set }) => set === 'approval'));

/** Whether what it decides depends on what was used and seen before. */
const countsUse = (revisions: readonly Revision[]) =>
  revisions.some((revision) =>
    protocols.some(({ name }) => ['usage', 'session.taint'].some((path) => revision.reads(name, path))),
  );

/** A source that cannot be one, whatever it holds, is a mistake in the configuration. */
function sourceOf(source: PolicySource, { state }: Config): Source {
  try {
    return openSource(source, policyFolder(state.directory));
  } catch (error) {
    if (error instanceof BundleError) throw new ConfigError(`policy: ${error.message}`, { cause: error });
    throw error;
  }
}

/** What judges after an event of one of two layers: the revision that records of operations name. */
const together = ({ current }: { readonly current: Revision | undefined }) =>
  current === undefined ? {} : { together: current.id };

interface About {
  readonly role?: 'shadow';
  readonly layer?: string;
  readonly together?: string;
}

function record(audit: Audit, log: Logger, event: PolicyEvent & About): void {
  try {
    audit.write({ kind: 'policy', fields: { ...event } });
  } catch (error) {
    if (!(error instanceof AuditError)) throw error;
    log.error({ err: error, event: event.type }, 'an event of the policy could not be recorded');
  }
}
