import { noKinds, type Kinds } from '../../../content/index.js';
import { withContent, type Guard } from './guard.js';
import { asked, type Obligations, type Plan } from './rewriting.js';
import type { Interpreter, Template } from '../judging/statement.js';

/** What of a string leaves for the server under the masks and filters of one decision. */
export interface Leaving {
  readonly obligations: Obligations;
  /** The text in place of the client's; undefined where that leaves as it came. */
  readonly text: string | undefined;
  /** SHA-256 of the text, hexadecimal; '' where nothing is rewritten. */
  readonly key: string;
  /** How what the server says to it is looked at. */
  readonly guard: Guard | undefined;
}

const nothing: Obligations = { masks: [], filters: [] };

/** As it came from the client: policy asks for no mask and no filter. */
export const asItCame: Leaving = { obligations: nothing, text: undefined, key: '', guard: undefined };

const isNone = ({ masks, filters }: Obligations) => masks.length === 0 && filters.length === 0;

/** Throws (or rejects with) RewriteRefusal. */
export function leave(
  interpreter: Interpreter,
  template: Template,
  { masks, filters }: Obligations,
): Leaving | Promise<Leaving> {
  const obligations = { masks, filters };
  if (isNone(obligations)) return asItCame;
  const plan = interpreter.rewrite(template, obligations);
  return plan instanceof Promise
    ? plan.then((known) => leavingOf(template, obligations, known))
    : leavingOf(template, obligations, plan);
}

const searched = new WeakMap<Leaving, Map<Kinds, Leaving>>();

/** The same, with these patterns looked for in what the server says to it. */
export function searching(leaving: Leaving, content: Kinds, lasts: boolean): Leaving {
  if (content === noKinds) return leaving;
  let known = searched.get(leaving);
  if (known === undefined) searched.set(leaving, (known = new Map<Kinds, Leaving>()));
  const key = content * 2 + (lasts ? 1 : 0);
  let found = known.get(key);
  if (found === undefined) known.set(key, (found = { ...leaving, guard: withContent(leaving.guard, content, lasts) }));
  return found;
}

const made = new WeakMap<Plan, Leaving>();

function leavingOf(template: Template, obligations: Obligations, plan: Plan): Leaving {
  const known = made.get(plan);
  if (known?.obligations.masks === obligations.masks && known.obligations.filters === obligations.filters) return known;
  const { key, text, hidden, guarded } = plan;
  const rewritten = text !== template.text;
  const guard: Guard | undefined =
    !rewritten && !guarded && hidden.size === 0
      ? undefined
      : {
          hidden,
          details: guarded ? 'drop' : 'keep',
          // A filter's conditions stand beside the statement's own, in an order that the server chooses.
          withheld:
            guarded && (obligations.filters.length > 0 || obligations.masks.some(({ scope }) => scope === 'output')),
          describes: template.statements.length === 1 && template.statements[0]?.facts.kind === 'select',
          lasts: guarded && template.action !== 'read',
          content: noKinds,
          position: (sent) => plan.position(sent),
        };
  const leaving = { obligations, text: rewritten ? text : undefined, key, guard };
  made.set(plan, leaving);
  return leaving;
}

/** What a PREPARE or DECLARE inside of a string that left like this has made. */
export function madeInside({ obligations, guard }: Leaving): Leaving {
  return obligations === nothing ? asItCame : { obligations, text: undefined, key: unknownKey, guard };
}

/** Not looked for yet: `sameText` does, where it has to. */
const unknownKey = '?';

/** Whether a template would leave under these obligations as it has left. Throws (or rejects with) RewriteRefusal. */
export function sameText(
  interpreter: Interpreter,
  template: Template,
  had: Leaving,
  now: Obligations,
): boolean | Promise<boolean> {
  if (isNone(had.obligations) && isNone(now)) return true;
  if (asked(had.obligations) === asked(now)) return true;
  const before = had.key === unknownKey ? leave(interpreter, template, had.obligations) : had;
  const after = leave(interpreter, template, now);
  if (before instanceof Promise || after instanceof Promise)
    return Promise.all([before, after]).then(([one, other]) => one.key === other.key);
  return before.key === after.key;
}

/** SHA-256 of what leaves, where that is not what came: for the audit. */
export const digest = ({ text, key }: Leaving): string | undefined => (text === undefined ? undefined : key);
