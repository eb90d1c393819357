/**
 * Rego's `sprintf`, that is Go's `fmt.Sprintf` over the three things that Rego hands it: strings, integers and floats.
 * Everything else arrives there as the text that Rego writes for it. `opa test` uses Go's, so this one must say the same.
 *
 * @see https://pkg.go.dev/fmt
 */
export type Argument = string | bigint | number;

/** Go refuses wider: it writes %!(BADWIDTH). */
const width_max = 1_000_000;

interface Verb {
  readonly flags: string;
  readonly width: number | undefined;
  readonly precision: number | undefined;
  readonly verb: string;
}

const directive = /%([-+# 0]*)(\d+)?(?:(\.)(\d*))?(.?)/gsu;

/** @throws for what is left out on purpose (argument indices, `*`, floats in base 2 or 16): an error denies, a wrong text might not. */
export function sprintf(format: string, values: readonly Argument[]): string {
  let next = 0;
  const text = format.replace(
    directive,
    (_all, flags: string, width?: string, dot?: string, digits?: string, verb?: string) => {
      if (verb === undefined || verb === '') return '%!(NOVERB)';
      if (verb === '%') return '%';
      if (verb === '[' || verb === '*') throw new Error('sprintf: argument indices and * are not supported');
      if (Number(width ?? 0) > width_max)
        return `%!(BADWIDTH)${formatted(values, next++, { flags, width: undefined, precision: undefined, verb })}`;
      if (Number(digits ?? 0) > width_max) throw new Error('sprintf: a precision is too large');
      return formatted(values, next++, {
        flags,
        width: width === undefined ? undefined : Number(width),
        precision: dot === undefined ? undefined : Number(digits ?? 0),
        verb,
      });
    },
  );
  if (next >= values.length) return text;
  const extra = values.slice(next).map((value) => `${typeName(value)}=${plain(value)}`);
  return `${text}%!(EXTRA ${extra.join(', ')})`;
}

function formatted(values: readonly Argument[], index: number, directive: Verb): string {
  const value = values[index];
  if (value === undefined) return `%!${directive.verb}(MISSING)`;
  if (directive.verb === 'T') return pad(typeName(value), directive, false);
  const text =
    typeof value === 'string'
      ? formatString(value, directive)
      : typeof value === 'bigint'
        ? formatInteger(value, directive)
        : formatFloat(value, directive);
  return text ?? `%!${directive.verb}(${typeName(value)}=${plain(value, directive)})`;
}

function typeName(value: Argument): string {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'number') return 'float64';
  return BigInt.asIntN(64, value) === value ? 'int64' : '*big.Int';
}

/** The value under %v, with the width and flags of the directive that was wrong for it. */
function plain(
  value: Argument,
  directive: Verb = { flags: '', width: undefined, precision: undefined, verb: 'v' },
): string {
  const verb = { ...directive, verb: 'v' };
  if (typeof value === 'string') return formatString(value, verb)!;
  return (typeof value === 'bigint' ? formatInteger(value, verb) : formatFloat(value, verb))!;
}

function pad(text: string, { flags, width }: Verb, numeric: boolean): string {
  if (width === undefined) return text;
  const missing = width - [...text].length;
  if (missing <= 0) return text;
  if (flags.includes('-')) return text + ' '.repeat(missing);
  if (!flags.includes('0')) return ' '.repeat(missing) + text;
  const sign = numeric ? (/^[-+ ]/.exec(text)?.[0] ?? '') : '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

function formatString(value: string, directive: Verb): string | undefined {
  const { verb, precision, flags } = directive;
  const cut = precision === undefined ? value : [...value].slice(0, precision).join('');
  switch (verb) {
    case 's':
      return pad(cut, directive, false);
    case 'v':
      return pad(flags.includes('#') ? quote(cut) : cut, directive, false);
    case 'q':
      return pad(quote(cut), directive, false);
    case 'x':
    case 'X': {
      const bytes = Buffer.from(value, 'utf8');
      const hex = bytes.subarray(0, precision ?? bytes.length).toString('hex');
      const text = (flags.includes('#') && hex !== '' ? '0x' : '') + hex;
      return pad(verb === 'X' ? text.toUpperCase() : text, directive, false);
    }
    default:
      return undefined;
  }
}

/** A Go string literal. */
export function quote(value: string): string {
  const escapes: Record<string, string> = { '"': '\\"', '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\u0007': '\\a', '\b': '\\b', '\f': '\\f', '\v': '\\v' }; // prettier-ignore
  let text = '';
  for (const character of value) {
    const point = character.codePointAt(0)!;
    const known = escapes[character];
    if (known !== undefined) text += known;
    else if (point < 0x20 || point === 0x7f) text += `\\x${point.toString(16).padStart(2, '0')}`;
    else if (/[\p{L}\p{M}\p{N}\p{P}\p{S} ]/u.test(character)) text += character;
    else if (point < 0x10000) text += `\\u${point.toString(16).padStart(4, '0')}`;
    else text += `\\U${point.toString(16).padStart(8, '0')}`;
  }
  return `"${text}"`;
}

const bases: Record<string, number> = { d: 10, v: 10, b: 2, o: 8, x: 16, X: 16 };
const prefixes: Record<string, string> = { b: '0b', o: '0', x: '0x', X: '0X' };

function formatInteger(value: bigint, directive: Verb): string | undefined {
  const { verb, precision, flags } = directive;
  // Beyond 64 bits Go's big.Int writes itself: %s is decimal, and there are no characters.
  const big = BigInt.asIntN(64, value) !== value;
  if (verb === 'c' || verb === 'q' || verb === 'U')
    return big ? `%!${verb}(big.Int=${value.toString()})` : formatRune(value, directive);
  const base = big && verb === 's' ? 10 : bases[verb];
  if (base === undefined) return undefined;
  let digits = (value < 0n ? -value : value).toString(base);
  if (verb === 'X') digits = digits.toUpperCase();
  if (precision !== undefined) digits = precision === 0 && value === 0n ? '' : digits.padStart(precision, '0');
  const prefix = flags.includes('#') ? (prefixes[verb] ?? '') : '';
  const text = signOf(value < 0n, flags) + prefix + digits;
  // With a precision the zero flag is ignored: the zeros are already there.
  return pad(text, precision === undefined ? directive : { ...directive, flags: flags.replaceAll('0', '') }, true);
}

function formatRune(value: bigint, directive: Verb): string {
  const valid = value >= 0n && value <= 0x10ffffn && !(value >= 0xd800n && value <= 0xdfffn);
  if (directive.verb === 'U') {
    const name = `U+${BigInt.asUintN(64, value).toString(16).toUpperCase().padStart(4, '0')}`;
    return pad(name, directive, false);
  }
  const character = String.fromCodePoint(valid ? Number(value) : 0xfffd);
  if (directive.verb === 'c') return pad(character, directive, false);
  return pad(character === "'" ? "'\\''" : `'${quote(character).slice(1, -1).replace('\\"', '"')}'`, directive, false);
}

function signOf(negative: boolean, flags: string): string {
  return negative ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : '';
}

function formatFloat(value: number, directive: Verb): string | undefined {
  const { verb, precision, flags } = directive;
  const magnitude = Math.abs(value);
  let digits: string;
  switch (verb) {
    case 'f':
    case 'F':
      digits = fixed(magnitude, precision ?? 6);
      break;
    case 'e':
    case 'E':
      digits = goExponent(magnitude.toExponential(Math.min(precision ?? 6, 100)));
      break;
    case 'g':
    case 'G':
    case 'v':
      digits = general(magnitude, precision);
      break;
    case 'b':
    case 'x':
    case 'X':
      throw new Error(`sprintf: %${verb} of a float is not supported`);
    default:
      return undefined;
  }
  if (verb === 'E' || verb === 'G') digits = digits.toUpperCase();
  return pad(signOf(value < 0 || Object.is(value, -0), flags) + digits, directive, true);
}

/** toFixed goes to 100 digits and changes to exponents at 1e21. */
function fixed(magnitude: number, precision: number): string {
  if (precision > 100) throw new Error('sprintf: a precision is too large');
  if (magnitude < 1e21) return magnitude.toFixed(precision);
  return BigInt(magnitude).toString() + (precision > 0 ? `.${'0'.repeat(precision)}` : '');
}

/** Go writes at least two digits of an exponent, JavaScript as few as there are. */
function goExponent(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}

/** %g: exponents below 1e-4 and from the precision on; in the shortest form, from 6 on. */
function general(magnitude: number, precision: number | undefined): string {
  if (magnitude === 0) return '0';
  const scientific =
    precision === undefined
      ? magnitude.toExponential()
      : magnitude.toExponential(Math.min(Math.max(precision, 1) - 1, 100));
  const [mantissa, exponentText] = scientific.split('e') as [string, string];
  const exponent = Number(exponentText);
  const digits = mantissa.replace('.', '').replace(/0+$/, '') || '0';
  const limit = precision === undefined ? 6 : Math.max(precision, 1);
  if (exponent < -4 || exponent >= limit) {
    const short = digits.length > 1 ? `${digits[0]!}.${digits.slice(1)}` : digits;
    return goExponent(`${short}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent))}`);
  }
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return digits.padEnd(exponent + 1, '0');
  return `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}
