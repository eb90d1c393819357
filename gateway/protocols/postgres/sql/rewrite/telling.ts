import { RewriteRefusal } from '../../enforcing/rewriting.js';

/**
 * Conditions see the value of what is masked on the way out, and their truth is what they may tell. Of the functions that are not
 * opaque, these do something with their arguments which outlasts the row, or takes its time.
 */
const effects = /^pg_catalog\.(pg_notify|set_config|setval|setseed|pg_sleep(_for|_until)?|pg_(try_)?advisory_\w+)$/;

/** Throws RewriteRefusal. @param functions As schema.name. */
export function checkTelling(functions: readonly string[]): void {
  const effect = functions.find((name) => effects.test(name));
  if (effect === undefined) return;
  throw new RewriteRefusal(
    'mask_unenforceable',
    `${effect.slice(effect.indexOf('.') + 1)}() could carry out what a condition beside it sees of a column that is masked on the way out`,
  );
}
