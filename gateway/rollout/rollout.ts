import { createEngine, type Decision, type Input, type Principal, type Revision } from '#engine';
import type { Logger } from 'pino';
import {
  keepPolicy,
  shadowFolder,
  type KeeperOptions,
  type PolicyEvent,
  type PolicyKeeper,
} from '../../bundles/index.js';
import type { CanaryConfig } from '../config/index.js';
import { type Base, Upper } from '../layers.js';
import { Canary } from './canary.js';
import { Differences, type ShadowReport } from './differences.js';
import { DifferencesWriter } from './file.js';
import { Shadow, type shadowLimits } from './shadow.js';

/** What the pipeline and the API see of a revision that is tried. */
export interface Rollout {
  /** Of what is tried: its own source, history and refusals. */
  readonly keeper: PolicyKeeper;
  /** What is tried now; undefined where its source has nothing that can be used. */
  readonly candidate: Revision | undefined;
  /** Whether the candidate is enforced for whoever this is, wherever there is one. */
  isCanary(principal: Principal, target: string): boolean;
  /** Has the candidate judge it as well, later and without effect. Never throws, never waits. */
  witness(input: Input, decision: Decision): void;
  /** Another revision is in force. */
  enforcing(revision: string | undefined): void;
  report(): ShadowReport;
  close(): Promise<void>;
}

export interface RolloutOptions extends Pick<KeeperOptions, 'source' | 'surroundings' | 'compiler'> {
  readonly canary: CanaryConfig | undefined;
  /** What is tried stands upon it as well: nobody is a canary for less than the base asks. */
  readonly base: Base | undefined;
  readonly stateDirectory: string;
  readonly log: Logger;
  readonly now: () => number;
  readonly progress?: (message: string) => void;
  /** What becomes of the source that is tried. */
  readonly onEvent: (event: PolicyEvent) => void;
  readonly limits?: Partial<typeof shadowLimits>;
}

export async function openRollout(options: RolloutOptions): Promise<Rollout> {
  const { log, now, stateDirectory } = options;
  const differences = new Differences(now);
  const canary = options.canary === undefined ? undefined : new Canary(options.canary);
  const writer = new DifferencesWriter(
    stateDirectory,
    () => differences.report(),
    (error) => log.error({ err: error }, 'the differences of the revision that is tried could not be written'),
  );
  const shadow = new Shadow({
    ...{ differences, log, now, onCounted: () => writer.changed() },
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const engine = new Upper(createEngine(), options.base);
  let enforcing: string | undefined;
  const meet = () => {
    writer.changed();
    const task = engine.current && { id: engine.current.id, layers: engine.layers };
    shadow.between(enforcing, task).catch((error: unknown) => log.error({ err: error }, 'a thread did not end'));
  };
  const { source, surroundings, compiler, progress, onEvent } = options;
  const keeper = await keepPolicy({
    ...{ source, engine, log, optional: true, directory: shadowFolder(stateDirectory) },
    ...(surroundings && { surroundings }),
    ...(compiler && { compiler }),
    ...(progress && { progress }),
    onEvent: (event) => {
      meet();
      onEvent(event);
    },
  });
  return {
    keeper,
    get candidate() {
      return engine.current;
    },
    isCanary: (principal, target) => canary?.has(principal, target) ?? false,
    witness(input, decision) {
      if (decision.revision !== enforcing && decision.revision === engine.current?.id) differences.byCanary();
      else shadow.witness(input, decision);
    },
    enforcing(revision) {
      enforcing = revision;
      meet();
    },
    report: () => differences.report(),
    async close() {
      await keeper.close();
      await shadow.close();
      await writer.close();
    },
  };
}
