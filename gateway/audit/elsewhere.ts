import { checkpointHash } from './checkpoint.js';
import type { HeadStore, Ledger } from './heads.js';

/**
 * A copy of the ledger that is kept where the files are not: whoever puts back older files, and an older state directory with
 * them, still shows by it.
 */
export interface KeptElsewhere {
  readonly ledger: Ledger;
  /** Names it in findings. */
  readonly place: string;
}

/** Tells of every ledger that is kept. What is told of comes after: the store does not wait. */
export function toldHeadStore(store: HeadStore, tell: (ledger: Ledger) => void): HeadStore {
  return {
    read: () => store.read(),
    async update(change) {
      const ledger = await store.update(change);
      tell(ledger);
      return ledger;
    },
  };
}

/** Whether the one may have become the other. False: somebody went back to an older state, and on from there. */
export function mayFollow(known: Ledger, next: Ledger): boolean {
  const [one, other] = [known.checkpoint, next.checkpoint];
  if (one === undefined) return true;
  if (other === undefined || other.number < one.number) return false;
  if (other.number === one.number) return checkpointHash(other) === checkpointHash(one);
  return other.number > one.number + 1 || other.previous === checkpointHash(one);
}
