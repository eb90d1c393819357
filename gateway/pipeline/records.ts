import { noUsage, type Decision, type Input, type Principal, type Reason, type TargetInput } from '#engine';
import { isFixed, members, Members, Part, quote, toJson, whole, type Entry } from '../audit/index.js';
import type { Receipt } from '../approvals/approvals.js';
import type { Result } from '../protocol.js';

/**
 * What a session writes down. Every operation leaves two records, so what is the same in many of them (who, where, why) is
 * written once, and what is left is put between.
 */
export class SessionRecords {
  /** "session_id":…,"target":…,"protocol":…, and "within":… where it is inside of another decision */
  readonly #place: string;
  readonly #purpose: string;
  /** Their commitments in the chain of records are made once, too. */
  readonly #principal: Part;
  readonly #client: Part;

  /** Principal and client are immutable for the life of a session. */
  constructor(
    id: string,
    target: TargetInput,
    principal: Principal,
    client: Input['session']['client'],
    within?: string,
  ) {
    const inside = within === undefined ? {} : { within };
    this.#place = whole(members({ session_id: id, target: target.name, protocol: target.protocol, ...inside }));
    this.#purpose = principal.purpose === undefined ? '' : whole(`,"purpose":${quote(principal.purpose)}`);
    this.#principal = new Part('principal', whole(needed(principal)));
    this.#client = new Part('client', whole(needed(client)));
  }

  opened(): Entry {
    return {
      kind: 'session_open',
      fields: new Members(this.#place),
      personal: [this.#principal, this.#client],
    };
  }

  closed(reason: string, rows: number): Entry {
    return {
      kind: 'session_close',
      fields: new Members(`${this.#place},${members({ reason, rows })}`),
      personal: [this.#principal],
    };
  }

  intent(
    { operation, session, prompt, usage }: Input,
    decision: Decision,
    { hash, own, sent, receipt }: IntentParts,
  ): Entry {
    // What budgets are decided by, where policy looked at it; none of it is measured for one that does not.
    const measured = usage === noUsage ? '' : `,"usage":${needed(usage)}`;
    const taint = session.taint.length === 0 ? '' : `,"taint":${needed(session.taint)}`;
    const transaction = session.transaction === undefined ? '' : `,"transaction":"${session.transaction}"`;
    const { stage, action, opaque, resources } = operation;
    const what = new Part('operation', needed(own));
    return {
      kind: 'intent',
      fields: new Members(
        `"decision_id":"${decision.id}",${this.#place},"stage":"${stage}","action":"${action}","opaque":${opaque ? 'true' : 'false'},` +
          `"resources":${needed(resources)},"hash":${quote(hash)}${transaction},"rows":${session.rows}${taint}${measured},${verdictOf(decision)}${sent === undefined ? '' : `,"sent":${quote(sent)}`}}${receiptOf(receipt)}${this.#purpose}`,
      ),
      personal: [
        this.#principal,
        ...(prompt === undefined ? [] : [new Part('prompt', needed(prompt))]),
        this.#client,
        what,
        // Its signed form names who asked.
        ...(receipt === undefined
          ? []
          : [new Part('receipt', needed({ approvers: receipt.approvers, token: receipt.token }))]),
      ],
    };
  }

  outcome(decision: Decision, result: Result, duration_ms: number): Entry {
    return {
      kind: 'outcome',
      fields: new Members(
        `${this.#place},"decision_id":"${decision.id}","revision":${quote(decision.revision)},` +
          `"result":{${members(result)}},"metrics":{"duration_ms":${numberOf(duration_ms)}}`,
      ),
    };
  }
}

export interface IntentParts {
  /** Of the operation; keyed (withholding.ts), as is `sent`. */
  readonly hash: string;
  /** The protocol's own object, values withheld where they have to be. */
  readonly own: unknown;
  /** SHA-256 of what leaves in place of what the client sent. */
  readonly sent?: string | undefined;
  /** What was used up to let it through. */
  readonly receipt?: Receipt | undefined;
}

const receiptOf = (receipt: Receipt | undefined) =>
  receipt === undefined ? '' : `,"hold_id":${quote(receipt.hold)},"receipt_id":${quote(receipt.id)}`;

/** A field that a record must have. Throws TypeError where JSON has no word for it. */
function needed(value: unknown): string {
  const text = toJson(value);
  if (text === undefined) throw new TypeError('a part of the operation cannot be written as JSON');
  return text;
}

const numberOf = (value: number) => (Number.isFinite(value) ? String(value) : 'null');

interface WrittenVerdict {
  readonly decision: Decision;
  readonly text: string;
}

/** Decisions share what was decided, frozen to the leaves: known by its reasons. */
const verdicts = new WeakMap<readonly Reason[], WrittenVerdict>();

/** "revision":…,"result":{… without its end. */
function verdictOf(decision: Decision): string {
  const { revision, outcome, reasons, approvals, masks, filters, limits, keeps } = decision;
  const known = verdicts.get(reasons);
  if (known !== undefined && isSame(known.decision, decision)) return known.text;
  const result = {
    outcome,
    reasons,
    ...(approvals.length === 0 ? {} : { approvals }),
    ...(masks.length === 0 ? {} : { masks }),
    ...(filters.length === 0 ? {} : { filters }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(keeps === undefined ? {} : { keeps }),
  };
  const text = whole(`${members({ revision })},"result":{${members(result)}`);
  if ([reasons, approvals, masks, filters, limits, keeps].every(isFixed)) verdicts.set(reasons, { decision, text });
  return text;
}

function isSame(one: Decision, other: Decision): boolean {
  return (
    one.outcome === other.outcome &&
    one.revision === other.revision &&
    one.approvals === other.approvals &&
    one.masks === other.masks &&
    one.filters === other.filters &&
    one.limits === other.limits &&
    one.keeps === other.keeps
  );
}
