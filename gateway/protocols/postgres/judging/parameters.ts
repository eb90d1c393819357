/**
 * Bind values to the text form of their types, so that one value is one value, however the client sent it.
 *
 * Only what is decoded exactly is decoded: for anything else the caller has the bytes in base64, and the operation is
 * opaque.
 *
 * @see https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-FORMAT-CODES; the binary forms are those of
 * each type's send function
 */

export interface DecodedParameters {
  /** Text; null is SQL's NULL. */
  readonly values: readonly (string | null)[];
  /** True where a value could only be given in base64. */
  readonly undecoded: boolean;
}

type Decoder = (value: Buffer) => string | undefined;

export function decodeParameters(
  values: readonly (Buffer | null)[],
  formats: readonly number[],
  types: readonly number[],
): DecodedParameters {
  let undecoded = false;
  const decoded = values.map((value, index) => {
    if (value === null) return null;
    const format = formats.length === 0 ? 0 : formats.length === 1 ? formats[0] : formats[index];
    const text = format === 0 ? utf8(value) : format === 1 ? decodeBinary(value, types[index] ?? 0) : undefined;
    if (text !== undefined) return text;
    undecoded = true;
    return `base64:${value.toString('base64')}`;
  });
  return { values: decoded, undecoded };
}

/** The text form of one binary value; undefined where the type is not known here or the bytes are not of it. */
export function decodeBinary(value: Buffer, type: number): string | undefined {
  const scalar = scalars.get(type);
  if (scalar !== undefined) return scalar(value);
  return arrays.has(type) ? array(value) : undefined;
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const utf8: Decoder = (value) => {
  try {
    return strict.decode(value);
  } catch {
    return undefined;
  }
};

const sized =
  (bytes: number, decode: (value: Buffer) => string | undefined): Decoder =>
  (value) =>
    value.length === bytes ? decode(value) : undefined;

/** float8out and float4out with extra_float_digits > 0: the shortest digits that give the number back. */
function float(number: number, shortest: string, digits_max: number): string {
  if (Number.isNaN(number)) return 'NaN';
  if (!Number.isFinite(number)) return number > 0 ? 'Infinity' : '-Infinity';
  if (number === 0) return Object.is(number, -0) ? '-0' : '0';
  const { digits, exponent } = scientific(shortest);
  const sign = number < 0 ? '-' : '';
  if (exponent < -4 || exponent >= digits_max) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const magnitude = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${magnitude}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}

/** The digits of a number as it is written, without zeros around them, and the power of ten of the first. */
function scientific(text: string): { readonly digits: string; readonly exponent: number } {
  const [mantissa = '', power = '0'] = text.replace(/^-/, '').split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  return { digits: digits.replace(/0+$/, ''), exponent: Number(power) + digits.length - fraction.length - 1 };
}

function shortestFloat4(number: number): string {
  for (let precision = 1; precision < 9; precision++) {
    const text = number.toPrecision(precision);
    const value = Number(text);
    if (Math.fround(value) === number && !isHalfway(value, number)) return text;
  }
  return number.toPrecision(9);
}

/** Between two: readers may take it for either, so the server does not write it. As far again, and it is the other one. */
function isHalfway(value: number, number: number): boolean {
  const other = number + 2 * (value - number);
  return other !== number && Math.fround(other) === other;
}

/** From here on only every second whole number, or fewer, is one. Below it, what lies halfway has more digits than are ever written. */
const everyOther = 2 ** 53;

/**
 * As JavaScript has it, but for digits that lie halfway to the next: there the server, which does not rely on how a reader rounds, goes
 * on to more.
 */
function shortestFloat8(number: number): string {
  const short = String(number);
  if (Math.abs(number) < everyOther || !Number.isFinite(number) || !isHalfwayFloat8(short, number)) return short;
  for (let precision = 1; precision < 17; precision++) {
    const text = number.toPrecision(precision);
    if (Number(text) === number && !isHalfwayFloat8(text, number)) return text;
  }
  return number.toPrecision(17);
}

/** The same as above, of a whole number, exactly. */
function isHalfwayFloat8(text: string, number: number): boolean {
  const [mantissa = '', power = '0'] = text.split('e');
  const [whole = '', fraction = ''] = mantissa.split('.');
  const zeros = Number(power) - fraction.length;
  // More than whole digits: closer to the number than that.
  if (zeros < 0) return false;
  const value = BigInt(whole + fraction) * 10n ** BigInt(zeros);
  const exact = BigInt(number);
  const other = 2n * value - exact;
  if (other === exact) return false;
  const nearest = Number(other);
  return !Number.isFinite(nearest) || BigInt(nearest) === other;
}

/** numeric_send: [digits: int16][weight: int16][sign: uint16][scale: uint16][base 10000 digit: int16]… */
function numeric(value: Buffer): string | undefined {
  if (value.length < 8) return undefined;
  const count = value.readUInt16BE(0);
  const weight = value.readInt16BE(2);
  const sign = value.readUInt16BE(4);
  const scale = value.readUInt16BE(6);
  if (sign === 0xc000) return 'NaN';
  if (sign === 0xd000) return 'Infinity';
  if (sign === 0xf000) return '-Infinity';
  if ((sign !== 0 && sign !== 0x4000) || value.length !== 8 + 2 * count || scale > 0x3fff) return undefined;
  const digit = (index: number) => (index >= 0 && index < count ? value.readInt16BE(8 + 2 * index) : 0);
  const group = (index: number) => String(digit(index)).padStart(4, '0');
  let whole = '';
  for (let index = 0; index <= weight; index++) whole += group(index);
  whole = whole.replace(/^0+(?=\d)/, '') || '0';
  let fraction = '';
  for (let index = weight + 1; fraction.length < scale; index++) fraction += group(index);
  return `${sign === 0x4000 ? '-' : ''}${whole}${scale > 0 ? `.${fraction.slice(0, scale)}` : ''}`;
}

const dayMicroseconds = 86_400_000_000n;
/** Days from 1970-01-01 to 2000-01-01, where Postgres counts from. */
const epochDays = 10_957n;

/** ISO 8601 as `DateStyle = ISO` prints it; undefined beyond what a JavaScript date can say. */
function date(days: bigint): { text: string; before: boolean } | undefined {
  const milliseconds = Number((days + epochDays) * 86_400_000n);
  if (Math.abs(milliseconds) > 8.64e15) return undefined;
  const moment = new Date(milliseconds);
  const year = moment.getUTCFullYear();
  const before = year <= 0;
  const shown = String(before ? 1 - year : year).padStart(4, '0');
  const pad = (number: number) => String(number).padStart(2, '0');
  return { text: `${shown}-${pad(moment.getUTCMonth() + 1)}-${pad(moment.getUTCDate())}`, before };
}

function time(microseconds: bigint): string {
  const pad = (number: bigint) => String(number).padStart(2, '0');
  const seconds = microseconds / 1_000_000n;
  const fraction = microseconds % 1_000_000n;
  const text = `${pad(seconds / 3600n)}:${pad((seconds / 60n) % 60n)}:${pad(seconds % 60n)}`;
  return fraction === 0n ? text : `${text}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
}

const timestamp = (zone: string) =>
  sized(8, (value) => {
    const microseconds = value.readBigInt64BE(0);
    if (microseconds === 0x7fff_ffff_ffff_ffffn) return 'infinity';
    if (microseconds === -0x8000_0000_0000_0000n) return '-infinity';
    let rest = microseconds % dayMicroseconds;
    let days = microseconds / dayMicroseconds;
    if (rest < 0n) {
      rest += dayMicroseconds;
      days -= 1n;
    }
    const day = date(days);
    return day === undefined ? undefined : `${day.text} ${time(rest)}${zone}${day.before ? ' BC' : ''}`;
  });

const uuid = (value: Buffer) => value.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');

const scalars = new Map<number, Decoder>([
  [16, sized(1, (value) => (value[0] === 0 ? 'f' : 't'))],
  [17, (value) => `\\x${value.toString('hex')}`],
  [18, sized(1, utf8)],
  [19, utf8],
  [20, sized(8, (value) => value.readBigInt64BE(0).toString())],
  [21, sized(2, (value) => String(value.readInt16BE(0)))],
  [23, sized(4, (value) => String(value.readInt32BE(0)))],
  [25, utf8],
  [26, sized(4, (value) => String(value.readUInt32BE(0)))],
  [114, utf8],
  [142, utf8],
  [700, sized(4, (value) => float(value.readFloatBE(0), shortestFloat4(value.readFloatBE(0)), 6))],
  [701, sized(8, (value) => float(value.readDoubleBE(0), shortestFloat8(value.readDoubleBE(0)), 15))],
  [705, utf8],
  [1042, utf8],
  [1043, utf8],
  [
    1082,
    sized(4, (value) => {
      const days = value.readInt32BE(0);
      if (days === 0x7fff_ffff) return 'infinity';
      if (days === -0x8000_0000) return '-infinity';
      const day = date(BigInt(days));
      return day && day.text + (day.before ? ' BC' : '');
    }),
  ],
  [1083, sized(8, (value) => time(value.readBigInt64BE(0)))],
  [1114, timestamp('')],
  [1184, timestamp('+00')],
  [1700, numeric],
  [2950, sized(16, uuid)],
  [3802, (value) => (value[0] === 1 ? utf8(value.subarray(1)) : undefined)],
]);

/** Array types whose elements are decoded above. */
const arrays = new Set([
  1000, 1001, 1002, 1003, 1005, 1007, 1009, 1028, 1016, 199, 143, 1021, 1022, 1014, 1015, 1182, 1183, 1115, 1185, 1231,
  2951, 3807,
]);

/** array_send: [dimensions: int32][has nulls: int32][element type: int32]([length: int32][lower bound: int32])…([length: int32][value])… */
function array(value: Buffer): string | undefined {
  if (value.length < 12) return undefined;
  const dimensions = value.readInt32BE(0);
  const element = scalars.get(value.readUInt32BE(8));
  if (dimensions === 0) return value.length === 12 ? '{}' : undefined;
  if (element === undefined || dimensions < 0 || dimensions > 6 || value.length < 12 + 8 * dimensions) return undefined;
  const lengths: number[] = [];
  for (let index = 0; index < dimensions; index++) {
    const length = value.readInt32BE(12 + 8 * index);
    // Other lower bounds than 1 have a prefix of their own in the text form.
    if (length < 1 || value.readInt32BE(16 + 8 * index) !== 1) return undefined;
    lengths.push(length);
  }
  let offset = 12 + 8 * dimensions;
  const item = (): string | undefined => {
    if (offset + 4 > value.length) return undefined;
    const length = value.readInt32BE(offset);
    offset += 4;
    if (length === -1) return 'NULL';
    if (length < 0 || offset + length > value.length) return undefined;
    const text = element(value.subarray(offset, offset + length));
    offset += length;
    return text === undefined ? undefined : quote(text);
  };
  const level = (dimension: number): string | undefined => {
    const parts: string[] = [];
    for (let index = 0; index < lengths[dimension]!; index++) {
      const part = dimension === dimensions - 1 ? item() : level(dimension + 1);
      if (part === undefined) return undefined;
      parts.push(part);
    }
    return `{${parts.join(',')}}`;
  };
  const text = level(0);
  return offset === value.length ? text : undefined;
}

/** array_out quotes what it would read back otherwise. */
function quote(text: string): string {
  if (text !== '' && !/[{},"\\ \t\n\r\v\f]/.test(text) && text.toUpperCase() !== 'NULL') return text;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
