import type { Logger } from 'pino';
import type { Audit } from '../audit/record.js';
import type { Database } from '../state/database.js';
import type { Chore } from '../state/housekeeping.js';
import type { Replica } from '../state/replica.js';
import type { Approvals, Approvers } from './approvals.js';
import { Counter } from './counter.js';
import { Desk } from './desk.js';
import { Receipts } from './receipts.js';
import { ApprovalRecords } from './records.js';

/** Approvals: operations ask at the desk, people answer at the counter. */
export type * from './approvals.js';
export { boundOf } from './desk.js';
export { requestLinks, requestPath } from './link.js';

export interface ApprovalsOptions {
  readonly database: Database;
  readonly replica: Replica;
  readonly audit: Audit;
  /** An operation's hash as records may have it. */
  readonly recordedHash: (hash: string) => string;
  readonly log: Logger;
  readonly now?: () => number;
  /** Requests that may wait at once, in all and of one principal. */
  readonly waiting_max: number;
  readonly per_principal_max: number;
  /** How long the session that waited has to use what it was given. */
  readonly receipt_ms: number;
  /** How long a preview may keep what it has locked. */
  readonly preview_ms: number;
  /** Where a person answers; absent where there is no such place. */
  readonly link?: ((hold: string) => string | undefined) | undefined;
}

/**
 * A request that is over goes after its time, with its answers and grants: the audit is what remains. One whose grant may
 * still be used stays as long as that.
 */
export const approvalChores = ({ retention_ms }: { readonly retention_ms: number }): readonly Chore[] => [
  {
    what: 'requests',
    text: `delete from sallyport.requests where id in (
      select id from sallyport.requests r
       where status <> 'waiting' and ended < now() - make_interval(secs => $1)
         and not exists (select from sallyport.grants
           where request = r.id and revoked is null and uses_left > 0 and expires > now())
       order by ended limit $2)
      returning 1`,
    values: [retention_ms / 1000],
  },
];

export interface OpenedApprovals {
  readonly approvals: Approvals;
  readonly approvers: Approvers;
  close(): Promise<void>;
}

export function openApprovals(options: ApprovalsOptions): OpenedApprovals {
  const { audit, recordedHash, now = Date.now, ...rest } = options;
  const receipts = new Receipts(options.database);
  const records = new ApprovalRecords(audit, recordedHash);
  const desk = new Desk({ ...rest, now, receipts, records });
  const counter = new Counter({ ...rest, now, receipts, records });
  return {
    approvals: desk,
    approvers: counter,
    async close() {
      await desk.close();
      counter.close();
    },
  };
}
