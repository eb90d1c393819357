import { messageOf } from './error.js';
import type { Log, PolicyEvent } from './events.js';
import { type NumberedOrder, type OrderDesk, revisionMeant } from './orders.js';
import type { OrderAnswer, OrderedHow, Pin, PolicyStatus } from './status.js';

/** What is ordered beside committing, carried out on a keeper. */

/** What carrying an order out needs of the keeper. */
export interface Seat {
  status(): PolicyStatus;
  set(changes: Partial<PolicyStatus>): void;
  emit(event: PolicyEvent): void;
  /** Puts a revision into force that lies on disk; false where it does not, or is not whole. */
  restore(revision: string, how: OrderedHow): Promise<boolean>;
  /** What the source has is looked at again, refused before or not. */
  sourceDecides(): void;
  head(): Promise<string>;
  /** The revisions on disk. */
  kept(): Promise<string[]>;
  /** The revision that is tried beside the one in force. */
  candidate(): Promise<string | undefined>;
  writeStatus(): Promise<void>;
  readonly desk: OrderDesk;
  readonly log: Log;
}

type Pinning = Exclude<NumberedOrder, { action: 'unpin' }>;

const howOf = { rollback: 'rolled_back', promote: 'promoted', pin: 'pinned' } as const;

/** Never rejects: what cannot be done is the answer, and is kept in the status for whoever asked. */
export async function carryOut(order: NumberedOrder, seat: Seat): Promise<OrderAnswer> {
  let answer: OrderAnswer;
  try {
    answer = {
      id: order.id,
      ok: true,
      revision: await (order.action === 'unpin' ? unpin(seat) : pinTo(order, seat)),
    };
  } catch (error) {
    answer = { id: order.id, ok: false, error: messageOf(error) };
    seat.log.error({ error: answer.error, order }, 'an order was not carried out');
  }
  seat.set({ answer });
  await seat
    .writeStatus()
    .catch((error: unknown) => seat.log.error({ error: messageOf(error) }, 'the policy status could not be written'));
  return answer;
}

/** Puts what was ordered into force; gives its revision. */
async function pinTo(order: Pinning, seat: Seat): Promise<string> {
  const before = seat.status().pinned;
  const from = seat.status().revision;
  if (from === undefined) throw new Error('no policy is in force yet');
  const target = await wanted(order, seat);
  const how = howOf[order.action];
  const blocked = before?.blocked ?? (await seat.head().catch(() => from));
  // The pin first: should the gateway end here, it comes back with what was ordered.
  const pinned: Pin = { revision: target, blocked, at: new Date().toISOString(), how };
  await seat.desk.writePin(pinned);
  if (target !== from && !(await seat.restore(target, how))) {
    await (before === undefined ? seat.desk.unpin() : seat.desk.writePin(before));
    throw new Error(
      `the bundle of ${target} is not on disk any more, is damaged, or is signed by none of policy.signing.keys`,
    );
  }
  seat.set({ pinned });
  seat.emit({ type: how, revision: target, from, blocked });
  seat.log.warn({ revision: target, from, blocked, how }, 'a revision is in force that was ordered');
  return target;
}

async function wanted(order: Pinning, seat: Seat): Promise<string> {
  if (order.action === 'rollback') {
    const target = previousRevision(seat.status());
    if (target === undefined) throw new Error('there is no earlier revision to go back to');
    return target;
  }
  if (order.action === 'pin') return revisionMeant(order.revision, await seat.kept());
  const target = await seat.candidate();
  if (target === undefined)
    throw new Error('no revision is tried beside the one in force: policy.shadow names its source');
  if (target === seat.status().revision) throw new Error(`${target} is in force already`);
  return target;
}

/** The source decides again, with the pass that follows. */
async function unpin(seat: Seat): Promise<string> {
  const { pinned, revision } = seat.status();
  if (pinned === undefined) throw new Error('nothing is pinned');
  await seat.desk.unpin();
  seat.sourceDecides();
  seat.set({ pinned: undefined });
  seat.emit({ type: 'unpinned', revision: pinned.revision });
  seat.log.warn({ revision: pinned.revision }, 'the policy source decides again what is in force');
  return revision ?? pinned.revision;
}

/** The one before what is in force, in the order in which they were brought; rollbacks and pins themselves do not count. */
export function previousRevision({ revision, history }: PolicyStatus): string | undefined {
  const brought = [
    ...new Set(history.filter(({ how }) => how !== 'rolled_back' && how !== 'pinned').map((entry) => entry.revision)),
  ];
  return brought[brought.indexOf(revision ?? '') + 1];
}
