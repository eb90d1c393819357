/** For the tests, which are checked by types; the page itself is plain JavaScript. */
export interface Pen {
  readonly colour?: number | string;
  readonly ground?: number | string;
  readonly bold?: boolean;
  readonly inverse?: boolean;
  readonly concealed?: boolean;
}
export interface Cell {
  readonly text: string;
  readonly pen: Pen;
  readonly width: number;
}
export const columns_max: number;
export const rows_max: number;
export class Screen {
  readonly columns: number;
  readonly rows: number;
  readonly x: number;
  readonly y: number;
  readonly hiddenCursor: boolean;
  readonly lines: readonly (readonly Cell[])[];
  readonly hidden: readonly (readonly Cell[])[] | undefined;
  readonly touched_cells: number;
  text(): string[];
  resize(columns: number, rows: number): void;
}
