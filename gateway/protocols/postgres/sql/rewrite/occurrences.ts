import type { ColumnRef, JoinExpr, RangeSubselect, RangeVar, ResTarget } from 'libpg-query';
import type { More, Recorder } from '../recorder.js';
import type { Origin, Source } from '../scope.js';

/** What the names of one statement mean, by the nodes of its tree. */

export interface ColumnUse {
  readonly ref: ColumnRef;
  readonly sources: readonly Source[];
  readonly name: string;
  readonly isCertain: boolean;
  readonly isShadowed: boolean;
  /** What it may be made of, where it is not certain. */
  readonly origins: readonly Origin[];
}

export interface RowUse {
  readonly ref: ColumnRef;
  readonly source: Source;
  readonly isCertain: boolean;
}

export interface StarUse {
  readonly sources: readonly Source[];
  readonly isPlain: boolean;
}

export class Occurrences implements Recorder {
  readonly reads = new Map<RangeVar, Source>();
  readonly targets = new Map<RangeVar, Source>();
  readonly items = new Map<object, Source>();
  readonly columns = new Map<ColumnRef, ColumnUse>();
  readonly rows = new Map<ColumnRef, RowUse>();
  readonly stars = new Map<ResTarget, StarUse>();

  read(range: RangeVar, source: Source): void {
    this.reads.set(range, source);
  }

  item(item: RangeVar | RangeSubselect | JoinExpr, source: Source): void {
    this.items.set(item, source);
  }

  target(range: RangeVar, source: Source): void {
    this.targets.set(range, source);
  }

  column(
    ref: ColumnRef,
    sources: readonly Source[],
    name: string,
    isCertain: boolean,
    { isShadowed = false, origins = [] }: More = {},
  ): void {
    const known = this.columns.get(ref);
    // A recursive query is analysed several times: what it was found to mean on any turn counts.
    const moved = known !== undefined && !sameRanges(known.sources, sources);
    this.columns.set(ref, {
      ref,
      sources: moved ? [...known.sources, ...sources] : sources,
      name,
      isCertain: isCertain && !moved && known?.isCertain !== false,
      isShadowed: isShadowed || known?.isShadowed === true,
      origins: known === undefined ? origins : [...known.origins, ...origins],
    });
  }

  row(ref: ColumnRef, source: Source, isCertain: boolean): void {
    const known = this.rows.get(ref);
    const moved = known !== undefined && known.source.range !== source.range;
    this.rows.set(ref, { ref, source, isCertain: isCertain && !moved });
  }

  star(item: ResTarget, sources: readonly Source[], isPlain: boolean): void {
    this.stars.set(item, { sources, isPlain });
  }
}

const sameRanges = (a: readonly Source[], b: readonly Source[]): boolean =>
  a.length === b.length && a.every((source, index) => source.range === b[index]?.range);
