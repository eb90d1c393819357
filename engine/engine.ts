import { createHash, randomBytes } from 'node:crypto';
import { VerdictCache } from './cache.js';
import { freeze, issue, refusal, unite } from './combine.js';
import type { Decision } from './decision.js';
import { PolicyLoadError, thrownText } from './errors.js';
import { classifiedBy, readVerdict, VerdictError } from './evaluate.js';
import type { Titles, Verdict } from './evaluate.js';
import type { Input } from './input.js';
import { checkManifest, warmInput } from './manifest.js';
import { overlaps, Projection } from './projection.js';
import type { Engine, Layer, LayerManifest, Revision, RevisionData, RuleDescription } from './revision.js';
import { EvaluationError, WasmPolicy } from './wasm.js';

export interface EngineOptions {
  /** Steps of WebAssembly that one evaluation of one layer may take. 400 million ended within 70 ms (docs/decisions/0001). */
  readonly fuel_max?: number;
  /** What one evaluation may take of memory, beside the policy's data. */
  readonly memory_bytes_max?: number;
  readonly input_bytes_max?: number;
  /** Decisions that a revision remembers for each protocol; 0: none. */
  readonly cache_entries_max?: number;
  readonly cache_bytes_max?: number;
}

export const engineDefaults = {
  fuel_max: 400_000_000,
  memory_bytes_max: 67_108_864,
  input_bytes_max: 8_388_608,
  cache_entries_max: 20_000,
  cache_bytes_max: 33_554_432,
} as const satisfies Required<EngineOptions>;

/** Protocols come from the configuration; a caller that makes them up gets no plan of its own remembered. */
const plans_max = 32;

const encoder = new TextEncoder();
const noncePrefix = `${randomBytes(9).toString('base64url')}.`;
let nonces = 0;

export function createEngine(options: EngineOptions = {}): Engine {
  const settings = { ...engineDefaults, ...options };
  let current: PreparedRevision | undefined;
  return {
    get current() {
      return current;
    },
    prepare: (id, layers) => PreparedRevision.prepare(id, layers, settings),
    activate(revision) {
      if (!(revision instanceof PreparedRevision))
        throw new TypeError('Only a revision from prepare() can be activated.');
      current = revision;
    },
    decide(input) {
      return current === undefined ? issue(noPolicy, 'none') : current.decide(input);
    },
  };
}

/**
 * One revision out of several, the first of which has to allow (docs/policy.md, "The organisation's base"): what each of
 * them judges by stays as it was prepared, so this takes no time. Its id names them all, joined by "+".
 *
 * @throws {TypeError} for a revision that no prepare() made.
 */
export function layered(revisions: readonly [Revision, ...Revision[]]): Revision {
  return PreparedRevision.of(revisions);
}

const memberOf = (data: unknown, name: string): unknown =>
  typeof data === 'object' && data !== null && Object.hasOwn(data, name)
    ? (data as Readonly<Record<string, unknown>>)[name]
    : undefined;

const noPolicy = freeze(refusal('no_policy'));
const notAllowed = freeze(refusal('not_allowed'));

interface LoadedLayer {
  readonly manifest: LayerManifest;
  readonly policy: WasmPolicy;
  readonly data: unknown;
  readonly titles: Titles;
}

/** How operations of one protocol are judged: by whom, and what is remembered. */
interface Plan {
  /** The layers that have something to say, in order. */
  readonly layers: readonly LoadedLayer[];
  /** The first layer has nothing to say of this protocol: nothing is allowed. */
  readonly refused: boolean;
  readonly reads: readonly string[];
  readonly projection: Projection | undefined;
  readonly cache: VerdictCache;
}

class PreparedRevision implements Revision {
  readonly id: string;
  readonly rules: readonly RuleDescription[];
  readonly #layers: readonly LoadedLayer[];
  readonly #settings: Required<EngineOptions>;
  readonly #plans = new Map<string, Plan>();
  readonly #classified = new Map<string, ReadonlySet<string>>();
  readonly #data = new Map<string, RevisionData>();

  private constructor(id: string, layers: readonly LoadedLayer[], settings: Required<EngineOptions>) {
    this.id = id;
    this.rules = freeze(layers.flatMap(({ manifest }) => manifest.rules));
    this.#layers = layers;
    this.#settings = settings;
  }

  /** @throws {PolicyLoadError} */
  static async prepare(
    id: string,
    layers: readonly Layer[],
    settings: Required<EngineOptions>,
  ): Promise<PreparedRevision> {
    if (layers.length === 0) throw new PolicyLoadError(id, 'a revision needs at least one layer.');
    const loaded = await Promise.all(
      layers.map(async ({ manifest, wasm, data }): Promise<LoadedLayer> => {
        checkManifest(manifest);
        const policy = await WasmPolicy.load(manifest.name, wasm, data, settings);
        return {
          manifest: freeze(structuredClone(manifest)),
          policy,
          data: freeze(structuredClone(data)),
          titles: titlesOf(manifest),
        };
      }),
    );
    const revision = new PreparedRevision(id, loaded, settings);
    for (const layer of loaded) revision.#warm(layer);
    return revision;
  }

  static of(revisions: readonly Revision[]): PreparedRevision {
    const parts = revisions.map((revision) => {
      if (!(revision instanceof PreparedRevision)) throw new TypeError('Only revisions from prepare() can be layered.');
      return revision;
    });
    const id = parts.map((part) => part.id).join('+');
    return new PreparedRevision(id, parts.flatMap((part) => part.#layers), parts[0]!.#settings); // prettier-ignore
  }

  /** Compiles what runs first, and sees that the layer answers at all. */
  #warm(layer: LoadedLayer): void {
    const protocols = layer.manifest.packages.filter((name) => name !== 'all');
    for (const protocol of protocols.length > 0 ? protocols : ['none']) {
      try {
        const verdict = this.#ask(layer, warmInput(protocol), JSON.stringify(warmInput(protocol)));
        const fault = verdict.reasons.find(({ code }) => code === 'policy_shape');
        if (fault !== undefined)
          throw new VerdictError('policy_shape', `${fault.message ?? 'a wrong shape'}.`, fault.rule);
      } catch (thrown) {
        throw new PolicyLoadError(
          layer.manifest.name,
          `a trial with an ordinary ${protocol} operation went wrong: ${thrownText(thrown)} ` +
            'Every operation would be refused, so this policy is not put into force.',
          { cause: thrown },
        );
      }
    }
  }

  reads(protocol: string, path: string): boolean {
    return this.#plan(protocol).reads.some((read) => overlaps(read, path));
  }

  classified(target: string): ReadonlySet<string> {
    let columns = this.#classified.get(target);
    if (columns === undefined) {
      columns = new Set(this.#layers.flatMap(({ data }) => classifiedBy(data, target)));
      if (this.#classified.size < plans_max) this.#classified.set(target, columns);
    }
    return columns;
  }

  data(name: string): RevisionData {
    let found = this.#data.get(name);
    if (found === undefined) {
      const documents = this.#layers.map(({ data }) => memberOf(data, name));
      const digest = documents.every((document) => document === undefined)
        ? 'none'
        : createHash('sha256').update(JSON.stringify(documents)).digest('hex');
      found = Object.freeze({ documents: Object.freeze(documents), digest });
      this.#data.set(name, found);
    }
    return found;
  }

  decide(input: Input): Decision {
    try {
      return issue(this.#judge(input), this.id);
    } catch (thrown) {
      return issue(refusal('policy_error', `The operation could not be judged: ${thrownText(thrown)}`), this.id);
    }
  }

  #judge(input: Input): Verdict {
    if (!isInput(input)) return refusal('policy_error', 'The input is not a document of version 1.');
    const plan = this.#plan(input.target.protocol);
    if (plan.refused) return notAllowed;
    const key = plan.projection?.key(input);
    if (key === undefined) return this.#evaluate(plan, input).verdict;
    const kept = plan.cache.get(key);
    if (kept !== undefined) return kept;
    const { verdict, keep } = this.#evaluate(plan, input);
    if (keep) plan.cache.set(key, verdict);
    return verdict;
  }

  #evaluate(plan: Plan, input: Input): { verdict: Verdict; keep: boolean } {
    try {
      const text = JSON.stringify(input);
      if (!text.startsWith('{"')) throw new VerdictError('policy_error', 'The input is not an object.');
      if (text.length > this.#settings.input_bytes_max)
        throw new VerdictError('policy_budget', 'The operation is larger than an evaluation may be given.');
      const verdicts = plan.layers.map((layer) => this.#ask(layer, input, text));
      return { verdict: freeze(unite(verdicts)), keep: true };
    } catch (thrown) {
      if (thrown instanceof VerdictError)
        return { verdict: freeze(refusal(thrown.code, thrown.message, thrown.rule)), keep: false };
      if (!(thrown instanceof EvaluationError)) throw thrown;
      // Who runs into the bound once must not be able to spend it again with every operation of the same kind.
      const code = thrown.kind === 'budget' ? 'policy_budget' : 'policy_error';
      return { verdict: freeze(refusal(code, thrown.message)), keep: thrown.repeats };
    }
  }

  /** One layer's verdict. @param text The input as JSON: the nonce goes in front. */
  #ask(layer: LoadedLayer, input: Input, text: string): Verdict {
    nonces += 1;
    const nonce = noncePrefix + String(nonces);
    const bytes = encoder.encode(`{"nonce":"${nonce}",${text.slice(1)}`);
    return readVerdict(layer.policy.evaluate(bytes.buffer), nonce, input, layer.data, layer.titles);
  }

  #plan(protocol: string): Plan {
    const known = this.#plans.get(protocol);
    if (known !== undefined) return known;
    const speaks = ({ manifest }: LoadedLayer) =>
      manifest.packages.includes(protocol) || manifest.packages.includes('all');
    const layers = this.#layers.filter(speaks);
    const reads = layers.flatMap(({ manifest }) =>
      Object.hasOwn(manifest.reads, protocol) ? manifest.reads[protocol]! : [''],
    );
    const { cache_entries_max, cache_bytes_max } = this.#settings;
    const plan: Plan = {
      layers,
      refused: layers[0] !== this.#layers[0],
      reads,
      projection: cache_entries_max > 0 ? Projection.of(reads) : undefined,
      cache: new VerdictCache(cache_entries_max, cache_bytes_max),
    };
    if (this.#plans.size < plans_max) this.#plans.set(protocol, plan);
    return plan;
  }
}

function titlesOf({ rules }: LayerManifest): Titles {
  const titles = new Map(rules.map((rule) => [`${rule.package}\n${rule.code}`, rule.title]));
  return (rule, code) => titles.get(`${rule}\n${code}`);
}

/** What the engine itself relies on; the rest is between the protocol and the policy. */
function isInput(input: unknown): input is Input {
  if (typeof input !== 'object' || input === null) return false;
  const { version, target, principal, operation } = input as Partial<Input>;
  return (
    version === 1 &&
    typeof target === 'object' &&
    typeof target?.name === 'string' &&
    typeof target.protocol === 'string' &&
    typeof principal === 'object' &&
    principal !== null &&
    typeof operation === 'object' &&
    Array.isArray(operation?.resources)
  );
}
