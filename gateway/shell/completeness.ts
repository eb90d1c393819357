import { forEachChild, type SyntaxNode } from 'unbash';
import { parseShell } from './parsing.js';

/**
 * What a shell would wait for behind a line: nothing; another line that is joined to it without a break, in the place of the
 * backslash at its end; or another line, as a quote, a bracket, a compound command or a here-document is still open. What is
 * wrong in any other way is complete: it is refused as it is.
 */
export function continuationOf(text: string): 'none' | 'joined' | 'open' {
  const carriedOn = /(?<!\\)(?:\\\\)*\\$/u.test(text);
  const script = parseShell(carriedOn ? text.slice(0, -1) : text);
  const end = text.trimEnd().length;
  const errors = script.errors ?? [];
  const literal = errors.some(({ message }) => /^unterminated (single|ANSI-C) quote/u.test(message));
  if (carriedOn) return literal || isOpen(script) ? 'open' : 'joined';
  if (errors.some(({ message }) => message.startsWith('unexpected') || message.includes('redirect target')))
    return 'none';
  if (errors.some(({ message, pos }) => message.startsWith('unterminated') || pos >= end)) return 'open';
  return errors.length === 0 && isOpen(script) ? 'open' : 'none';
}

/** Whether a here-document's last line has not come. */
function isOpen(script: SyntaxNode): boolean {
  let open = false;
  const visit = (node: SyntaxNode): void => {
    if (node.type === 'HereDoc') open ||= node.closing === undefined;
    forEachChild(node, visit);
  };
  visit(script);
  return open;
}
