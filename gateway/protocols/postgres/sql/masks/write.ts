import { constant, type Wrapped } from '../ast.js';

/** Small pieces of SQL, in ASCII wherever possible: what leaves may go out under another client encoding than UTF8. */

/** An identifier, quoted. */
export const quoteName = (name: string): string => `"${name.replace(/"/g, '""')}"`;

/** A string as a literal; what is not ASCII as escapes that the server turns into its own encoding. */
export function string(value: string): string {
  const plain = value.replace(/'/g, "''");
  if (/^[\x20-\x7e]*$/.test(value)) return `'${plain}'`;
  let escaped = '';
  for (const character of plain) {
    const code = character.codePointAt(0) ?? 0;
    if (character === '\\') escaped += '\\\\';
    else if (code >= 0x20 && code <= 0x7e) escaped += character;
    else if (code <= 0xffff) escaped += `\\${code.toString(16).padStart(4, '0')}`;
    else escaped += `\\+${code.toString(16).padStart(6, '0')}`;
  }
  return `U&'${escaped}'`;
}

/** The text of a constant that is not NULL, and not cast; undefined for anything else. */
export function constantText(node: Wrapped): string | undefined {
  return 'A_Const' in node ? (constant(node) ?? undefined) : undefined;
}
