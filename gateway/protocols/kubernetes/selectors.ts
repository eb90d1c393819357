/** One term of a field selector: `metadata.name=web`. */
export interface FieldTerm {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

/**
 * The terms of a field selector; undefined where it is none.
 *
 * @see k8s.io/apimachinery/pkg/fields, ParseSelector
 */
export function fieldTerms(selector: string): readonly FieldTerm[] | undefined {
  const terms: FieldTerm[] = [];
  for (const term of splitTerms(selector)) {
    const operator = /!=|==|=/.exec(term);
    if (operator === null) return undefined;
    const value = unescape(term.slice(operator.index + operator[0].length));
    if (value === undefined) return undefined;
    terms.push({ field: term.slice(0, operator.index), equal: operator[0] !== '!=', value });
  }
  return terms;
}

/** By commas that no backslash stands before. */
const splitTerms = (selector: string): string[] => selector.match(/(?:\\[\s\S]?|[^\\,])+/g) ?? [];

/** `\,`, `\=` and `\\` alone are escapes; a bare one of them is none of a value. */
function unescape(raw: string): string | undefined {
  if (!/^(?:\\[\\,=]|[^\\,=])*$/.test(raw)) return undefined;
  return raw.replace(/\\([\\,=])/g, '$1');
}

/**
 * The one name that a field selector asks for, which the API server then authorises; empty where it asks for none, or
 * where it cannot be read. Of several, the first in the order of their text counts, as there.
 */
export function exactName(selector: string): string {
  const ordered = splitTerms(selector).sort().join(',');
  const named = fieldTerms(ordered)?.find(({ field, equal }) => field === 'metadata.name' && equal);
  return named === undefined || /^\.{1,2}$|[/%]/.test(named.value) ? '' : named.value;
}
