/** What policy answered, and what must be done about it. */

export interface Reason {
  /** Names one rule; through it title, file and line. */
  readonly code: string;
  /** The package of the rule, "policy.postgres". Absent where the engine itself answered. */
  readonly rule?: string;
  readonly title?: string;
  readonly message?: string;
}

export const maskFunctions = ['null', 'redact', 'hash', 'tokenize', 'truncate', 'pattern', 'partial'] as const;
/** Strictest first. */
export type MaskFunction = (typeof maskFunctions)[number];

export interface Mask {
  readonly resource: string;
  readonly with: MaskFunction;
  /** source: the statement never sees the clear value. output: joins and predicates see it. */
  readonly scope: 'source' | 'output';
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly code: string;
}

export interface Filter {
  readonly resource: string;
  /** A predicate in the target's own language; several on one resource are AND-ed. */
  readonly where: string;
  readonly code: string;
  /** Resources that an earlier layer masks at the source: the predicate must not read them. Absent: it may read whatever there is. */
  readonly unseen?: readonly string[];
}

export interface Approval {
  readonly code: string;
  readonly groups: readonly string[];
  readonly quorum: number;
  /** Milliseconds until the request expires. */
  readonly expires_ms: number;
  readonly reason?: string;
  readonly preview?: 'effect';
  /** A transaction that has written already may wait too, with the locks that it holds. */
  readonly in_transaction?: true;
  /** What an approval may be widened to by whoever gives it; absent: it is for this one operation, once. */
  readonly grant?: GrantTerms;
  /** Who may answer their own request, alone and at once, saying why: for the night on which nobody else is there. */
  readonly break_glass?: { readonly groups: readonly string[] };
}

/** The widest that a grant may be. It never outlives the revision under which it was given. */
export interface GrantTerms {
  /** operation: the same hash. fingerprint: the same statement with other values. */
  readonly same: 'operation' | 'fingerprint';
  /** True: within the session that asked only. */
  readonly session: boolean;
  readonly uses: number;
  readonly for_ms: number;
}

export interface Limits {
  readonly rows?: number;
  readonly bytes?: number;
  readonly seconds?: number;
}

/** What a principal's running work has seen from now on: `session.taint` of whatever it does next, over any protocol. */
export interface Taint {
  readonly label: string;
  /** Milliseconds for which the label stays. */
  readonly for_ms: number;
  readonly code: string;
}

/** Policy looks at what the operation would do: that has to be found out, and judged with it, before it is let through. */
export interface Preview {
  readonly code: string;
}

/** What the operation transfers is kept: a copy beside its records. */
export interface Keep {
  readonly code: string;
}

export type Outcome = 'allow' | 'deny' | 'hold';

declare const issued: unique symbol;

/** Made by the engine alone: enforcement asks for one, so nothing is forwarded that was not judged. */
export interface Decision {
  readonly [issued]: true;
  readonly id: string;
  readonly outcome: Outcome;
  /** Why: at least one, whatever the outcome. */
  readonly reasons: readonly Reason[];
  readonly masks: readonly Mask[];
  readonly filters: readonly Filter[];
  readonly approvals: readonly Approval[];
  readonly limits: Limits;
  /** Who asks to judge it with what it would do; absent where nobody does. */
  readonly previews?: readonly Preview[];
  /** Who asks for a copy of what it transfers; absent where nobody does. */
  readonly keeps?: readonly Keep[];
  /** Labels for the principal's running work; absent where there are none. */
  readonly taints?: readonly Taint[];
  /** Units that the operation costs, as policy counts them; absent where it says nothing. Adds to `usage.cost`. */
  readonly cost?: number;
  /** Of a deny: the resources that policy would have masked, for what is written down of it. Absent where that is not known. */
  readonly masked?: readonly string[];
  /** "git:3f2c…", "directory:9a1b…"; "none" where no policy is in force. */
  readonly revision: string;
}

/** Codes of reasons that come from the engine or the gateway, not from a rule. */
export const engineCodes = {
  no_policy: 'No policy is in force.',
  policy_outdated: 'The policy in force is older than it may be.',
  not_allowed: 'No rule allows this.',
  policy_error: 'The policy could not be evaluated.',
  policy_budget: 'The policy took more time or memory than an evaluation may.',
  policy_shape: "The policy answered in a shape that is not the contract's.",
  mask_missing: 'A label has no mask in data.masks.',
  token_expired: 'The token has expired.',
  audit_failed: 'The operation could not be recorded.',
  obligation_unsupported: 'The policy asks for something that this protocol cannot do.',
  mask_unenforceable: 'A masked column is used in a way that cannot be masked.',
  mask_unfit: 'A mask does not fit the type of its column.',
  mask_unknown_column: 'A mask names a column that its relation does not have.',
  masked_write: 'A masked value would be written.',
  filter_invalid: 'A filter is not a predicate over its relation.',
  filter_unenforceable: 'A filtered relation is used in a way that cannot be filtered.',
  limit_exceeded: 'The operation exceeded a limit.',
  approval_refused: 'The operation was asked for and refused.',
  approval_expired: 'Nobody answered in time.',
  approval_withdrawn: 'The request was withdrawn before it was answered.',
  approval_unavailable: 'Nobody can be asked now: the state where approvals are kept is out of reach.',
  usage_unavailable: 'Policy counts what was used and seen, and the state where that is kept is out of reach.',
  approval_in_transaction: 'The transaction has written already, and would keep its locks while it waits.',
  approval_unsupported: 'This operation cannot wait for an answer where it stands.',
  definition_changed: 'What would be used is not what it was when it was approved.',
  definition_unfit: 'The operation does not fit what its target says of it.',
  preview_failed: 'What this would do could not be found out, and policy looks at it.',
  policy_changed: 'Policy is another than when this was prepared.',
} as const;
export type EngineCode = keyof typeof engineCodes;
