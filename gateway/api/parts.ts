import type { RuleDescription } from '#engine';
import type { Logger } from 'pino';
import type { PolicyStatus } from '../../bundles/index.js';
import type { Approvers } from '../approvals/approvals.js';
import type { Audit } from '../audit/index.js';
import { StateError } from '../errors.js';
import type { Foresight } from '../pipeline/foresight.js';
import type { Certificates, Tickets } from '../identity/index.js';
import type { Enforced, Revocations } from '../live/index.js';
import type { ReplayShelf } from '../replay/index.js';
import type { Prompts } from '../prompts/prompts.js';
import type { ShadowReport } from '../rollout/index.js';
import type { Sessions } from '../sessions.js';
import type { Sending, StatusDocument } from '../status/index.js';
import type { CallerOptions } from './caller.js';
import type { Reachable } from './targets.js';

/** What the API stands on. Absent parts answer that they are not there: the gateway runs without a database, too. */
export interface ApiParts extends CallerOptions {
  /** Whom a SAML assertion is about; absent where no provider of them is trusted. */
  readonly assert?: CallerOptions['identify'] | undefined;
  readonly approvers?: Approvers | undefined;
  readonly sessions?: Sessions | undefined;
  readonly revocations?: Pick<Revocations, 'revoke' | 'check' | 'subscribe'> | undefined;
  readonly tickets?: Tickets | undefined;
  readonly certificates?: Certificates | undefined;
  /** Where a target is reached; undefined where there is none of that name. */
  readonly reachable?: ((target: string) => Reachable | undefined) | undefined;
  /** What policy would say of what nobody has asked for yet. */
  readonly foresight?: Foresight | undefined;
  readonly prompts: Prompts;
  readonly audit: Audit;
  /** All files of the audit, rotated ones included. */
  readonly auditFiles: () => Promise<readonly string[]>;
  /** The folder with what was recorded of screens; undefined where nothing is. */
  readonly recordings?: string | undefined;
  readonly policy: {
    status(): PolicyStatus;
    /** The id that records name: of two revisions where there is a base. */
    inForce(): string | undefined;
    /** Of the organisation's base; absent, or undefined, where there is none. */
    base?(): PolicyStatus | undefined;
    rules(): readonly RuleDescription[];
    /** What other replicas enforce. Rejects with StateError. */
    others?(): Promise<readonly Enforced[]>;
    /** How it stands, as OPA's status API says it. */
    asOpa(): StatusDocument;
    /** What came of sending that; absent, or undefined, where nobody is told. */
    sending?(): Sending | undefined;
    /** What is tried beside it; absent, or undefined, where nothing is. */
    shadow?(): { readonly status: PolicyStatus; readonly report: ShadowReport } | undefined;
  };
  /** What replays found, as it was published. */
  readonly replays?: ReplayShelf | undefined;
  /** Where a rule's line can be read: a URL with {commit}, {file} and {line}. */
  readonly policyLink?: string | undefined;
  readonly log: Logger;
}

export function needed<T>(part: T | undefined, what: string): T {
  if (part === undefined) throw new StateError(`${what} need the gateway's own database, which this gateway has not`);
  return part;
}
