import type { ColumnRef, JoinExpr, RangeSubselect, RangeVar, ResTarget } from 'libpg-query';
import type { Origin, Source } from './scope.js';

export interface More {
  /** The name of a source stands for another one there. */
  readonly isShadowed?: boolean;
  /** What the column may be made of, where it is not certain whose it is. */
  readonly origins?: readonly Origin[];
}

/**
 * Is told, node by node, what the names of a text mean while it is analysed. A node may be told more than once, each time
 * with the same meaning. Rewriting needs it; the analysis itself looks at nothing of it.
 */
export interface Recorder {
  /** A name in FROM or USING that is a relation's. */
  read(range: RangeVar, source: Source): void;
  /** A name, a sub-query or a join with a name in FROM or USING, and what it brings. */
  item(item: RangeVar | RangeSubselect | JoinExpr, source: Source): void;
  /** The relation that a statement writes. */
  target(range: RangeVar, source: Source): void;
  /**
   * A reference to a column of a source, system columns among them. `sources` has several where USING merged them, or where
   * it is not certain whose column it is.
   */
  column(ref: ColumnRef, sources: readonly Source[], name: string, isCertain: boolean, more?: More): void;
  /** A reference to a whole row: `t`, or `t.*` where it is no list of columns. Not certain: it may be a column `t` as well. */
  row(ref: ColumnRef, source: Source, isCertain: boolean): void;
  /**
   * `*` or `t.*` as an item of a select list or of RETURNING, and all that it stands for. Plain: the columns of the sources, one
   * after the other; USING and NATURAL merge some.
   */
  star(item: ResTarget, sources: readonly Source[], isPlain: boolean): void;
}
