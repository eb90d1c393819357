import { ofStrings, type Table } from './builtin.js';

/** Versions, as https://semver.org writes them; a leading "v" is let through. */

interface Semver {
  readonly core: readonly bigint[];
  readonly pre: readonly string[];
}

const identifier = '[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*';
const version = new RegExp(
  `^v?(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(?:-(${identifier}))?(?:\\+${identifier})?$`,
);

function parseSemver(text: string): Semver | undefined {
  const match = version.exec(text);
  if (match === null) return undefined;
  const pre = match[4]?.split('.') ?? [];
  if (pre.some((part) => /^0\d+$/.test(part))) return undefined;
  return { core: match.slice(1, 4).map(BigInt), pre };
}

function compareSemver(left: Semver, right: Semver): number {
  for (const [index, number] of left.core.entries()) {
    const other = right.core[index]!;
    if (number !== other) return number < other ? -1 : 1;
  }
  // A release stands above its own pre-releases.
  if (left.pre.length === 0 || right.pre.length === 0) return Math.sign(right.pre.length - left.pre.length);
  for (let index = 0; index < Math.max(left.pre.length, right.pre.length); index++) {
    const order = comparePart(left.pre[index], right.pre[index]);
    if (order !== 0) return order;
  }
  return 0;
}

function comparePart(mine: string | undefined, theirs: string | undefined): number {
  if (mine === undefined || theirs === undefined) return mine === theirs ? 0 : mine === undefined ? -1 : 1;
  if (mine === theirs) return 0;
  const [mineNumeric, theirsNumeric] = [/^\d+$/.test(mine), /^\d+$/.test(theirs)];
  if (mineNumeric && theirsNumeric) return BigInt(mine) < BigInt(theirs) ? -1 : 1;
  if (mineNumeric !== theirsNumeric) return mineNumeric ? -1 : 1;
  return mine < theirs ? -1 : 1;
}

export const semver: Table = {
  'semver.compare': ofStrings((left, right) => {
    const [mine, theirs] = [parseSemver(left), parseSemver(right)];
    return mine === undefined || theirs === undefined ? undefined : compareSemver(mine, theirs);
  }),
  'semver.is_valid': (values) => typeof values[0] === 'string' && parseSemver(values[0]) !== undefined,
};
