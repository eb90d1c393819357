import { key, keyed } from './key.js';

/**
 * A keyed permutation of whole numbers, so that a type with few values has a hash that no two values share: a Feistel network
 * (Luby and Rackoff 1988) over SHA-256. Who has the key can turn it around, as he can by trying all values.
 */

/** Twice what makes it a pseudorandom permutation: halves of 8 bits are small. */
const rounds = 8;

/**
 * @param label What is permuted: another label is another permutation.
 * @param value An int4, of which the lowest bits count.
 * @returns An int4; under 65536 for 16 bits.
 */
export function permuted(label: string, value: string, bits: 16 | 32): string {
  const half = bits / 2;
  const mask = 2 ** half - 1;
  const [l, r, k] = ['"sallyport.l"', '"sallyport.r"', '"sallyport.k"'];
  // Longer than what a hash is made of, so that no hash of a value is a key.
  const own = `pg_catalog.sha256(pg_catalog.byteacat(${keyed(`'${label}'::pg_catalog.bytea`)}, ${key}))`;
  // OFFSET 0 keeps each round from being computed anew wherever its result is named, and the key from being so for each row.
  let query = [
    `SELECT pg_catalog.int4and(pg_catalog.int4shr(${value}, ${half}), ${mask}) AS ${l},`,
    `pg_catalog.int4and(${value}, ${mask}) AS ${r}, (SELECT ${own} OFFSET 0) AS ${k} OFFSET 0`,
  ].join(' ');
  for (let round = 0; round < rounds; round++) {
    const digest = `pg_catalog.sha256(pg_catalog.byteacat(${k}, pg_catalog.int4send(pg_catalog.int4pl(${round * 65_536}, ${r}))))`;
    const hex = `pg_catalog.encode(pg_catalog.substr(${digest}, 1, ${half / 8}), 'hex')`;
    const number = `CAST(CAST(pg_catalog.textcat('x', ${hex}) AS pg_catalog.bit(${half})) AS pg_catalog.int4)`;
    query = `SELECT ${r} AS ${l}, pg_catalog.int4xor(${l}, ${number}) AS ${r}, ${k} FROM (${query}) AS "sallyport.f" OFFSET 0`;
  }
  return `(SELECT pg_catalog.int4or(pg_catalog.int4shl(${l}, ${half}), ${r}) FROM (${query}) AS "sallyport.f")`;
}
