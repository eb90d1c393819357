import type { Decision } from '#engine';
import { limitExceeded } from './enforce.js';
import { errorResponse } from './codec.js';
import { Meter } from './limits.js';
import type { Permit } from './permit.js';

/** One execution under limits: measured, stopped in the server where it exceeds one, and waited for. */
export class Limiting {
  readonly meter: Meter;
  /** Resolves when the server has answered, and no cancel request is under way that could hit what comes after. */
  readonly over: Promise<void>;
  readonly #decision: Decision;
  readonly #target: string;
  #resolve: () => void = () => undefined;
  #cancelling: Promise<void> | undefined;

  /** @param cancel Stops what the server runs for the session; resolves when it has been told. */
  constructor(permit: Permit, target: string, cancel: () => Promise<void>) {
    this.#decision = permit.submission.decision;
    this.#target = target;
    this.meter = new Meter(permit.limits, permit.used, () => {
      this.#cancelling ??= cancel();
    });
    this.over = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.meter.start();
  }

  /** In place of the end of a result that was cut. */
  error(): Buffer {
    const { exceeded, limits } = this.meter;
    const kind = exceeded ?? 'rows';
    return errorResponse(limitExceeded(this.#decision, this.#target, kind, limits[kind] ?? 0));
  }

  ended(): void {
    if (this.#cancelling === undefined) this.#resolve();
    else void this.#cancelling.then(this.#resolve, this.#resolve);
  }
}
