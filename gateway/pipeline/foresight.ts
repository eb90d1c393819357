import {
  noUsage,
  type Decision,
  type Engine,
  type Input,
  type Layer,
  type Operation,
  type Revision,
  type TargetInput,
} from '#engine';
import { BundleStore } from '../../bundles/index.js';
import { valuesNamed, whatWouldDiffer, type Search } from '../asking/index.js';
import type { Client, Identity, Protocol, Target } from '../protocol.js';
import type { Rollout } from '../rollout/index.js';

/**
 * What policy would say of an operation that nobody has asked for: for lists of what somebody may use, and for the question
 * what would have to differ. Nothing is opened, counted or recorded, and nothing leaves. What was used and seen before is left out, so
 * the operation itself may still be refused for that.
 */
export interface ForesightParts {
  readonly engine: Engine;
  readonly rollout?: Pick<Rollout, 'candidate' | 'isCanary'> | undefined;
  readonly targets: readonly Target[];
  readonly protocols: readonly Protocol[];
  /** Folders in which the bundles of revisions are kept. */
  readonly bundles: readonly string[];
  readonly now: () => number;
}

/** Who asks, and from where. */
export interface Asker {
  readonly identity: Identity;
  readonly client: Client;
}

export interface Foreseen {
  readonly revision: string;
  readonly decision: Decision;
  /** Of what is not simply allowed, where the policy's bundle is at hand. */
  readonly search?: Search;
}

/** A decision takes some 50 µs, and everybody else waits meanwhile. */
const tries_max = 600;
/** On a large operation it takes as much longer: of all inputs that are tried, as JSON. */
const tried_chars_max = 8_388_608;

export class Foresight {
  readonly #parts: ForesightParts;
  readonly #firstSteps: ReadonlyMap<string, Protocol['firstSteps']>;
  /** Of the last revision that was asked for: they are looked for in its WebAssembly. */
  #named: { readonly revision: string; readonly values: readonly string[] } | undefined;

  constructor(parts: ForesightParts) {
    this.#parts = parts;
    this.#firstSteps = new Map(parts.protocols.map(({ name, firstSteps }) => [name, firstSteps]));
  }

  /** Of every target, by name: records do not have them. */
  get labels(): Readonly<Record<string, TargetInput['labels']>> {
    return Object.fromEntries(this.#parts.targets.map(({ input }) => [input.name, input.labels]));
  }

  /** The targets that policy lets somebody begin with. Those that it holds for people are among them. */
  offered(asker: Asker): Target[] {
    return this.#parts.targets.filter((target) => {
      const bound = asker.identity.target;
      if (target.unavailable !== undefined || (bound !== undefined && bound !== target.input.name)) return false;
      const steps = this.#firstSteps.get(target.input.protocol)?.(target.upstream) ?? [];
      return steps.some((step) => this.#decide(this.#input(asker, target.input, step)).outcome !== 'deny');
    });
  }

  /** Decides what is asked by the asker now, and finds what would have to differ for another answer. */
  async ask(asker: Asker, asked: { readonly target: TargetInput; readonly operation: Operation }): Promise<Foreseen> {
    const input = this.#input(asker, asked.target, asked.operation);
    const decision = this.#decide(input);
    const revision = this.#revision(input);
    if (decision.outcome === 'allow' || revision === undefined) return { revision: decision.revision, decision };
    const values = await this.#valuesOf(revision);
    if (values === undefined) return { revision: revision.id, decision };
    // What they may not use is not named to them.
    const targets = this.offered(asker).map((target) => target.input);
    return {
      revision: revision.id,
      decision,
      search: whatWouldDiffer({ revision, input, values, targets, tries_max, tried_chars_max }),
    };
  }

  #revision({ principal, target }: Input): Revision | undefined {
    const { engine, rollout } = this.#parts;
    const canary = rollout?.isCanary(principal, target.name) === true ? rollout.candidate : undefined;
    return canary ?? engine.current;
  }

  #decide(input: Input): Decision {
    return this.#revision(input)?.decide(input) ?? this.#parts.engine.decide(input);
  }

  #input({ identity, client }: Asker, target: TargetInput, operation: Operation): Input {
    const time = new Date(this.#parts.now()).toISOString();
    return {
      ...{ version: 1, time, principal: identity.principal },
      ...(identity.prompt === undefined ? {} : { prompt: identity.prompt }),
      session: { id: 'none', started: time, client: { address: client.address }, rows: 0, taint: [] },
      ...{ target, operation, usage: noUsage },
    };
  }

  async #valuesOf({ id }: Revision): Promise<readonly string[] | undefined> {
    if (this.#named?.revision === id) return this.#named.values;
    // One that stands on a base has the ids of both.
    const layers = await Promise.all(id.split('+').map((part) => this.#layerOf(part)));
    if (layers.includes(undefined)) return undefined;
    const values = [...new Set((layers as Layer[]).flatMap(valuesNamed))];
    this.#named = { revision: id, values };
    return values;
  }

  async #layerOf(id: string): Promise<Layer | undefined> {
    for (const folder of this.#parts.bundles) {
      const stored = await new BundleStore(folder).load(id);
      if (stored !== undefined) return stored.layer;
    }
    return undefined;
  }
}
