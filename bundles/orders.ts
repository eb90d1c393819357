import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { refusal } from './error.js';
import { orderFile, type OrderAnswer, type Pin, pinFile, readJson, readStatus } from './status.js';
import { writeAtomically } from './store.js';
import { watchPaths } from './watch.js';

/**
 * What people may ask of a gateway that keeps a policy, beside committing: back to the revision before, on to the one that
 * is tried beside it, to a certain one and to stay there, and back to what the source has.
 */
export type Order =
  | { readonly action: 'rollback' }
  | { readonly action: 'promote' }
  | { readonly action: 'unpin' }
  /** `revision`: whole, or the beginning of its commit's hash. */
  | { readonly action: 'pin'; readonly revision: string };

export type NumberedOrder = Order & { readonly id: string };

/**
 * Where orders are given and kept: `order.request.json` is written by the command line and taken away by the gateway that
 * keeps the policy; `pin.json` holds what was ordered over restarts. Whoever may write into the folder may order.
 */
export class OrderDesk {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** An order, which is thereby taken. Undefined where there is none, or what lies there is none. */
  async takeOrder(): Promise<NumberedOrder | undefined> {
    const file = orderFile(this.#directory);
    const given = await readJson<Record<string, unknown>>(file).catch(() => ({}));
    if (given === undefined) return undefined;
    await rm(file, { force: true });
    return readOrder(given);
  }

  pin(): Promise<Pin | undefined> {
    return readJson<Pin>(pinFile(this.#directory));
  }

  writePin(pin: Pin): Promise<void> {
    return writeAtomically(pinFile(this.#directory), `${JSON.stringify(pin, undefined, 2)}\n`);
  }

  unpin(): Promise<void> {
    return rm(pinFile(this.#directory), { force: true });
  }

  watch(changed: () => void): Promise<() => Promise<void>> {
    const file = orderFile(this.#directory);
    return watchPaths([this.#directory], changed, {
      depth: 0,
      ignored: (path) => path !== this.#directory && path !== file,
    });
  }
}

function readOrder({ id, action, revision }: Record<string, unknown>): NumberedOrder | undefined {
  if (typeof id !== 'string') return undefined;
  if (action === 'rollback' || action === 'promote' || action === 'unpin') return { id, action };
  return action === 'pin' && typeof revision === 'string' ? { id, action, revision } : undefined;
}

/** The one revision that a person means. Throws where it is none, or more than one. */
export function revisionMeant(named: string, known: readonly string[]): string {
  const fitting = [...new Set(known)].filter((one) => one.startsWith(named) || one.replace(/^[a-z]+:/, '').startsWith(named)); // prettier-ignore
  if (fitting.length === 1) return fitting[0]!;
  const kept = known.length === 0 ? 'none' : [...new Set(known)].join(', ');
  throw new Error(
    fitting.length === 0
      ? `no revision ${JSON.stringify(named)} is kept on disk; kept are ${kept}`
      : `${JSON.stringify(named)} may be any of ${fitting.join(', ')}`,
  );
}

const poll_ms = 50;

/** Gives an order to the gateway that keeps its policy in `directory`, and waits for its answer. */
export async function requestOrder(directory: string, order: Order, timeout_ms = 10_000): Promise<OrderAnswer> {
  const id = randomBytes(8).toString('hex');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const given = { id, ...order, at: new Date().toISOString(), pid: process.pid };
  await writeAtomically(orderFile(directory), JSON.stringify(given));
  for (const end = Date.now() + timeout_ms; Date.now() < end; await wait(poll_ms)) {
    const answer = (await readStatus(directory))?.answer;
    if (answer?.id === id) return answer;
  }
  await rm(orderFile(directory), { force: true });
  throw refusal(
    'no_gateway',
    `no gateway that keeps its policy in ${directory} answered within ${timeout_ms / 1000} s`,
    {
      help: 'Is it running? The folder is the "policy" folder below state.directory.',
    },
  );
}
