/** For the tests, which are checked by types; the page itself is plain JavaScript. */
export interface Cast {
  readonly header: { readonly width: number; readonly height: number; readonly title?: unknown };
  readonly events: readonly (readonly [seconds: number, code: string, text: string])[];
  readonly cut: boolean;
}
export function readCast(text: string): Cast | undefined;
export function paced(events: Cast['events'], pause_s_max: number): Float64Array;
