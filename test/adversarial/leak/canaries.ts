import { createHash } from 'node:crypto';

/**
 * What stands in sensitive cells. Each cell's value is its own, and differs between the two databases that inference is
 * measured with, while everything that a mask lets through (a first character, a year, whether it is NULL) is the same.
 */
export type Variant = 'a' | 'b';

/** No vowels, no hexadecimal letters: no name, keyword or digest looks like it. */
const alphabet = 'GHJKQVWXYZMNP479';

/** A word for this cell in this database. Its length differs as well: lengths are values, too. */
export function word(variant: Variant, cell: string): string {
  const digest = createHash('sha256').update(`${variant}:${cell}`).digest('hex');
  const length = 10 + (parseInt(digest.slice(60, 62), 16) % 4) + (variant === 'a' ? 0 : 3);
  return [...digest.slice(0, length)].map((digit) => alphabet[parseInt(digit, 16)]).join('');
}

/** Nine digits, no leading zero. */
export function number(variant: Variant, cell: string): string {
  const digest = createHash('sha256').update(`${variant}#${cell}`).digest();
  return String(100_000_000 + (digest.readUInt32BE(0) % 899_999_999));
}

/** A day before 1950, when nothing else in the fixture happened; in the same year in both databases. */
export function day(variant: Variant, cell: string): string {
  const year = 1900 + ((createHash('sha256').update(cell).digest()[0] ?? 0) % 50);
  const digest = createHash('sha256').update(`${variant}@${cell}`).digest();
  const two = (value: number) => String(value).padStart(2, '0');
  return `${year}-${two(2 + ((digest[0] ?? 0) % 11))}-${two(2 + ((digest[1] ?? 0) % 26))}`;
}

/** A payment card's number: sixteen digits that fulfil Luhn's check. */
export function card(variant: Variant, cell: string): string {
  const digits = `4${number(variant, cell)}${number(variant, `${cell}'`)}`.slice(0, 15);
  const sum = [...digits].reduce((total, digit, index) => {
    const doubled = Number(digit) * (index % 2 === 0 ? 2 : 1);
    return total + (doubled > 9 ? doubled - 9 : doubled);
  }, 0);
  return digits + String((10 - (sum % 10)) % 10);
}

/** Values to look for, as they stand in their cells. */
export class Canaries {
  readonly values = new Set<string>();

  constructor(readonly variant: Variant) {}

  word(cell: string): string {
    return this.kept(word(this.variant, cell));
  }
  number(cell: string): string {
    return this.kept(number(this.variant, cell));
  }
  day(cell: string): string {
    return this.kept(day(this.variant, cell));
  }
  card(cell: string): string {
    return this.kept(card(this.variant, cell));
  }

  private kept(value: string): string {
    this.values.add(value);
    return value;
  }
}
