/** For the tests, which are checked by types; the page itself is plain JavaScript. */
export function pieces(statement: string): { readonly kind: string; readonly text: string }[];
