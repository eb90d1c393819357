import { refused, type Json, type Outcome } from './outcome.js';

/**
 * Operations that wait for people longer than their caller does. They go on: who makes the same call again gets what became of
 * it, instead of asking a second time.
 */
export interface Going {
  readonly outcome: Promise<Outcome>;
  readonly over: AbortController;
  /** Resolves when people were asked. */
  readonly held: Promise<void>;
  readonly said: () => { readonly message: string; readonly details: Json } | undefined;
}

export interface Waiter {
  readonly signal: AbortSignal;
  /** False where the caller cannot be told, and so gives up before people have answered. */
  readonly tell: (message: string) => boolean;
  readonly hold_ms: number;
}

const going_max = 32;
const tell_ms = 10_000;

export class Pending {
  readonly #going = new Map<string, Going>();

  /** @param key Of the call: its tool and arguments. @param begin What it does, once. */
  async wait(key: string, begin: () => Going, waiter: Waiter): Promise<Outcome> {
    const known = this.#going.get(key);
    if (known === undefined && this.#going.size >= going_max)
      return refused('busy', 'too many operations wait for people', {
        next: 'Make one of the calls that wait again, or wait until they are answered.',
      });
    const going = known ?? begin();
    this.#going.set(key, going);
    const left = await this.#left(going, waiter);
    if (left === undefined || !('pending' in left)) {
      this.#going.delete(key);
      return left ?? refused('cancelled', 'the call was taken back');
    }
    return pendingOf(going);
  }

  /** Takes everything back. */
  close(): void {
    for (const { over } of this.#going.values()) over.abort();
    this.#going.clear();
  }

  /** What became of it; or that it still waits; undefined where the caller took it back. */
  async #left({ outcome, over, held, said }: Going, { signal, tell, hold_ms }: Waiter) {
    let telling: NodeJS.Timeout | undefined;
    let late: NodeJS.Timeout | undefined;
    let leave = (): void => undefined;
    try {
      return await Promise.race([
        outcome,
        new Promise<undefined>((resolve) => {
          leave = () => {
            over.abort();
            resolve(undefined);
          };
          if (signal.aborted) leave();
          signal.addEventListener('abort', leave, { once: true });
        }),
        held.then(
          () =>
            new Promise<{ readonly pending: true }>((resolve) => {
              const message = () => said()?.message ?? 'waiting for an approval';
              if (tell(message())) telling = setInterval(() => tell(message()), tell_ms);
              else late = setTimeout(() => resolve({ pending: true }), hold_ms);
            }),
        ),
      ]);
    } finally {
      signal.removeEventListener('abort', leave);
      clearInterval(telling);
      clearTimeout(late);
    }
  }
}

function pendingOf({ said }: Going): Outcome {
  const { message, details } = said() ?? { message: 'waiting for an approval', details: {} };
  return refused('approval_pending', message, {
    ...details,
    next: 'Nothing was done yet. Make the same call with the same arguments again to go on waiting: once it is approved, that call has its answer.',
  });
}
