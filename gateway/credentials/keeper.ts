import type { Logger } from 'pino';
import { Sparing } from '../web/index.js';
import { NotGiven, type Given, type Place } from './place.js';

export interface KeeperOptions {
  readonly log: Logger;
  readonly now: () => number;
}

const retry_ms_min = 1_000;
const retry_ms_max = 30_000;
/** Between two readings that refused sign-ins ask for. */
const renewal_ms_min = 1_000;
/** Of those at once, and in the long run: clients that are refused on purpose get no lease and no run of a command each time. */
const renewals_burst = 5;
const renewal_every_ms = 30_000;
/** What setTimeout takes. */
const timer_ms_max = 86_400_000;

/**
 * Keeps the newest of what one place gives. While the place cannot be asked, the last that it gave stays, until its end if
 * it has one; without an end it goes at once where the place says no.
 */
export class Keeper {
  readonly place: Place;
  readonly #log: Logger;
  readonly #now: () => number;
  #given: Given | undefined;
  #problem: string | undefined = 'it was not asked yet';
  #version = 0;
  #reading: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  readonly #renewals: Sparing;
  #renewed_ms = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(place: Place, { log, now }: KeeperOptions) {
    this.place = place;
    this.#log = log;
    this.#now = now;
    this.#renewals = new Sparing({ burst: renewals_burst, every_ms: renewal_every_ms, now });
  }

  /** The first reading; never rejects. */
  async start(): Promise<void> {
    await this.#read();
    this.place.watch?.(() => void this.#read());
  }

  /** What holds; undefined where nothing does. */
  get given(): Given | undefined {
    const { expires_ms = Number.POSITIVE_INFINITY } = this.#given ?? {};
    return this.#now() < expires_ms ? this.#given : undefined;
  }

  /** Why it cannot be asked, for people; undefined where it can. */
  get problem(): string | undefined {
    if (this.#problem === undefined && this.#given !== undefined && this.given === undefined)
      return 'what it gave has expired';
    return this.#problem;
  }

  /** Another number for other values. */
  get version(): number {
    return this.#version;
  }

  /** Reads again because what it gave was not taken: once for all who ask meanwhile, and not too often. Never rejects. */
  async renew(): Promise<void> {
    if (this.#reading !== undefined) return this.#reading;
    if (this.#closed || this.#now() - this.#renewed_ms < renewal_ms_min || !this.#renewals.take()) return;
    this.#renewed_ms = this.#now();
    await this.#read();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.place.close?.();
  }

  #read(): Promise<void> {
    return (this.#reading ??= this.#ask(() => this.place.read()).finally(() => (this.#reading = undefined)));
  }

  /** When it is due: more time for what there is, else something new. */
  #refresh(): void {
    const { place, given } = this;
    this.#reading ??= this.#ask(
      async () => (given === undefined ? undefined : await place.extend?.(given)) ?? place.read(),
    ).finally(() => (this.#reading = undefined));
  }

  async #ask(read: () => Promise<Given>): Promise<void> {
    clearTimeout(this.#timer);
    const { name } = this.place;
    try {
      this.#take(await read());
    } catch (error) {
      if (this.#closed) return;
      if (!(error instanceof NotGiven)) this.#log.error({ err: error, place: name }, 'credentials: reading broke');
      const why = error instanceof NotGiven ? error.message : `${name} could not be read`;
      // A lease that was given holds until its end, whatever is said of the next one.
      if (error instanceof NotGiven && error.final && this.#given?.expires_ms === undefined) this.#given = undefined;
      if (why !== this.#problem) this.#log.warn({ place: name, why }, 'credentials: nothing new can be had');
      this.#problem = why;
      this.#failures += 1;
      this.#again(Math.min(retry_ms_min * 2 ** (this.#failures - 1), retry_ms_max));
    }
  }

  #take(given: Given): void {
    const before = this.#given;
    if (before === undefined || !sameValues(before.values, given.values)) {
      this.#version += 1;
      if (before !== undefined) this.#log.info({ place: this.place.name }, 'credentials: there are others now');
    }
    if (this.#failures > 0) this.#log.info({ place: this.place.name }, 'credentials: can be had again');
    this.#given = given;
    this.#problem = undefined;
    this.#failures = 0;
    if (given.again_ms !== undefined) this.#again(given.again_ms);
  }

  #again(after_ms: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#refresh(), Math.min(after_ms, timer_ms_max)).unref();
  }
}

function sameValues(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): boolean {
  return one.size === other.size && [...one].every(([name, value]) => other.get(name) === value);
}
