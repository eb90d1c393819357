import type { Template } from './statement.js';

/** Whether a statement may leave behind in its transaction what others have to wait for: rows written, or any lock beyond that of a read. */
export function keepsLocks({ action, opaque, resources, statements }: Template): boolean {
  if (opaque || (action !== 'read' && action !== 'session')) return true;
  // FOR UPDATE and its kin use the relation beside reading it.
  if (resources.some(({ type, access }) => type === 'relation' && access === 'use')) return true;
  return statements.some(
    ({ facts }) => facts.kind === 'lock' || facts.functions.some((name) => name.includes('advisory')),
  );
}
