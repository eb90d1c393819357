import { patternKinds, type PatternKind } from '#engine';

export type { PatternKind };

/** Kinds that are looked for, one bit each: sets of them are compared and united with every operation. */
export type Kinds = number;

export const noKinds: Kinds = 0;
export const allKinds: Kinds = (1 << patternKinds.length) - 1;

const bit = (kind: PatternKind): Kinds => 1 << patternKinds.indexOf(kind);

export const kindsOf = (names: readonly PatternKind[]): Kinds => names.reduce((kinds, name) => kinds | bit(name), 0);

export const has = (kinds: Kinds, kind: PatternKind): boolean => (kinds & bit(kind)) !== 0;
