import type { Filter, Mask } from '#engine';

/** What policy asks of a statement that it lets through, and what the statement becomes for it. */
export interface Obligations {
  readonly masks: readonly Mask[];
  readonly filters: readonly Filter[];
}

const askedFor = new WeakMap<Obligations['masks'], WeakMap<Obligations['filters'], string>>();

/** Equal for obligations that say the same. Decisions out of the engine's cache share their masks and filters. */
export function asked({ masks, filters }: Obligations): string {
  let known = askedFor.get(masks);
  if (known === undefined) askedFor.set(masks, (known = new WeakMap()));
  let text = known.get(filters);
  if (text === undefined) known.set(filters, (text = JSON.stringify([masks, filters])));
  return text;
}

/** What leaves in place of the client's text. */
export interface Plan {
  /** SHA-256 of the text, hexadecimal: equal for obligations that come to the same. '' where nothing is rewritten. */
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
