import type { PartialParameters } from '#engine';
import { castText, isText, nullOf, plainText, textLength, type MaskColumn } from './column.js';

/** The shortest of what a partial mask makes of a value that it shows something of: "a***". */
const partial_chars_min = 4;

/**
 * Total: what cannot hold it is NULL. At most half of the value's characters stay (of an e-mail address: half of what is
 * before the @), and the stars are always three, so that they don't tell how many are gone.
 */
export function partial(column: MaskColumn, sql: string, parameters: PartialParameters): string {
  if (!isText(column) || textLength(column) < partial_chars_min) return nullOf(column);
  const { keep_start: start = 1, keep_end: end, keep_domain: domain = false } = parameters;
  const v = plainText(sql);
  const length = `pg_catalog.length(${v})`;
  const half = `pg_catalog.int4div(${length}, 2)`;
  const at = `pg_catalog.strpos(${v}, '@')`;
  const kept = (count: number, of: string): string =>
    count === 0 ? "''" : `pg_catalog.left(${v}, pg_catalog.int4smaller(${count}, ${of}))`;
  const before = kept(start, `pg_catalog.int4div(pg_catalog.int4mi(${at}, 1), 2)`);
  const rest = (count: number): string => {
    if (count === 0) return "''";
    const left = `pg_catalog.int4mi(${half}, pg_catalog.int4smaller(${start}, ${half}))`;
    return `pg_catalog.right(${v}, pg_catalog.int4smaller(${count}, ${left}))`;
  };
  const concat = (...parts: string[]): string => parts.reduce((left, right) => `pg_catalog.textcat(${left}, ${right})`);

  const branches: string[] = [];
  if (domain) {
    // What stands behind an @ is shown only if all of it is an address: "the @ in a note" is none.
    branches.push(
      `WHEN pg_catalog.textregexeq(${v}, '^[^@[:space:]]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$') THEN ${concat(before, "'***'", `pg_catalog.substr(${v}, ${at})`)}`,
    );
  }
  branches.push(`WHEN pg_catalog.int4gt(${at}, 1) THEN ${concat(before, "'***@***'")}`);
  if (end === undefined) {
    branches.push(`WHEN pg_catalog.int4ge(${length}, 8) THEN ${concat(kept(start, half), "'***'", rest(2))}`);
    branches.push(`WHEN pg_catalog.int4ge(${length}, 0) THEN ${concat(kept(start, half), "'***'")}`);
  } else {
    branches.push(`WHEN pg_catalog.int4ge(${length}, 0) THEN ${concat(kept(start, half), "'***'", rest(end))}`);
  }
  return castText(column, `CASE ${branches.join(' ')} END`);
}
