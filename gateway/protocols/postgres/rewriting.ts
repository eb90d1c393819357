import type { Filter, Mask } from '#engine';

/** What policy asks of a statement that it lets through, and what the statement becomes for it. */
export interface Obligations {
  readonly masks: readonly Mask[];
  readonly filters: readonly Filter[];
}

/** What leaves in place of the client's text. */
export interface Plan {
  /** Equal for obligations that come to the same text. '' where nothing is rewritten. */
  readonly key: string;
  readonly text: string;
  /** Columns that no RowDescription may show: `${oid of the relation}.${number of the attribute}`. */
  readonly hidden: ReadonlySet<string>;
  /** The statement touches a relation with masks or filters: DETAIL, CONTEXT, … of errors and notices are dropped. */
  readonly guarded: boolean;
  /** A 1-based position in the sent text as one in the client's; undefined where it is the gateway's own text. */
  position(sent: number): number | undefined;
}

/** Why masks or filters cannot be put into a statement: it is refused, as by policy. */
export type RewriteCode =
  | 'mask_unenforceable'
  | 'mask_unfit'
  | 'mask_unknown_column'
  | 'masked_write'
  | 'filter_invalid'
  | 'filter_unenforceable';

export class RewriteRefusal extends Error {
  readonly code: RewriteCode;
  constructor(code: RewriteCode, message: string) {
    super(message);
    this.name = 'RewriteRefusal';
    this.code = code;
  }
}
