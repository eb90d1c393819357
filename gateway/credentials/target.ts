import type { Logger } from 'pino';
import type { ConfiguredTarget, UpstreamForm, UpstreamReference } from '../config/index.js';
import { guardUpstream } from '../config/index.js';
import { GatewayError } from '../errors.js';
import type { Target } from '../protocol.js';
import type { Keeper } from './keeper.js';

/** One value of an upstream, and who keeps it. */
export interface Kept {
  readonly reference: UpstreamReference;
  readonly keeper: Keeper;
  /** Its name among what the place gives. */
  readonly field: string;
}

/** A target whose upstream is read anew whenever a part of it has changed. Whoever holds what it was before goes on with that. */
export class LiveTarget implements Target {
  readonly input: Target['input'];
  readonly #form: UpstreamForm;
  readonly #kept: readonly Kept[];
  readonly #log: Logger;
  #upstream: unknown;
  #unavailable: string | undefined;
  #problem: string | undefined;
  /** Of what `#upstream` was read from. */
  #versions = '';

  constructor({ input }: ConfiguredTarget, form: UpstreamForm, kept: readonly Kept[], log: Logger) {
    this.input = input;
    this.#form = form;
    this.#kept = kept;
    this.#log = log;
  }

  get upstream(): unknown {
    this.#update();
    return this.#upstream;
  }

  get unavailable(): string | undefined {
    this.#update();
    return this.#unavailable;
  }

  /** What fails while the target can still be used, or why it cannot; undefined: nothing. Without a secret. */
  get problem(): string | undefined {
    this.#update();
    const failing = this.#kept.find(({ keeper }) => keeper.problem !== undefined);
    return this.#unavailable ?? this.#problem ?? failing?.keeper.problem;
  }

  async renew(refused: unknown): Promise<boolean> {
    if (this.upstream === refused) await Promise.all(this.#keepers().map((keeper) => keeper.renew()));
    return this.upstream !== refused && this.unavailable === undefined;
  }

  #keepers(): Keeper[] {
    return [...new Set(this.#kept.map(({ keeper }) => keeper))];
  }

  #update(): void {
    const values = new Map<string, string>();
    for (const { reference, keeper, field } of this.#kept) {
      const value = keeper.given?.values.get(field);
      if (value === undefined) return this.#lose(missing({ keeper, field }));
      values.set(reference.key, value);
    }
    const versions = this.#kept.map(({ keeper }) => keeper.version).join();
    if (versions === this.#versions) return;
    this.#versions = versions;
    try {
      this.#upstream = guardUpstream(this.#form.read(values));
      this.#unavailable = undefined;
      this.#problem = undefined;
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#problem = error.message;
      if (this.#upstream === undefined) this.#unavailable = error.message;
      else this.#log.warn({ target: this.input.name, why: error.message }, 'credentials: the new ones cannot be used');
    }
  }

  #lose(why: string): void {
    this.#upstream = undefined;
    this.#versions = '';
    this.#unavailable = why;
  }
}

function missing({ keeper, field }: { readonly keeper: Keeper; readonly field: string }): string {
  if (keeper.given !== undefined) return `${keeper.place.name} has no field "${field}" that is a text`;
  return keeper.problem ?? `${keeper.place.name} gives nothing`;
}
