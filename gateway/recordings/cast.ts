/**
 * The form of a recording: asciicast v2, one JSON value a line. What is ours in the header stands under `sallyport`; players
 * pass over what they do not know.
 *
 * @see https://docs.asciinema.org/manual/asciicast/v2/
 */
export interface CastHeader {
  readonly version: 2;
  /** Columns and rows. */
  readonly width: number;
  readonly height: number;
  /** Seconds since the epoch. */
  readonly timestamp: number;
  readonly title: string;
  readonly command?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly sallyport: Origin;
}

/** Whose it is, and by which decision. */
export interface Origin {
  readonly id: string;
  readonly decision: string;
  readonly session: string;
  readonly target: string;
  readonly protocol: string;
  readonly principal: { readonly issuer: string; readonly subject: string };
  readonly purpose?: string;
  readonly request: string;
  readonly terminal: boolean;
  readonly masked: boolean;
}

/** o: output, i: input that was not echoed, m: a word of the gateway, r: COLUMNSxROWS, x: how it ended. */
export const codes = ['o', 'i', 'm', 'r', 'x'] as const;
export type CastCode = (typeof codes)[number];
/** Seconds since the beginning, what it is, its text. */
export type CastEvent = readonly [seconds: number, code: CastCode, text: string];

export const headerLine = (header: CastHeader): string => `${JSON.stringify(header)}\n`;

export const eventLine = (seconds: number, code: CastCode, text: string): string =>
  `[${seconds.toFixed(6)},"${code}",${JSON.stringify(text)}]\n`;

/** No date is later, ECMA-262 21.4.1.1. */
const instant_ms_max = 8.64e15;

/** Undefined for what is none: a file may have been cut off, or come from somewhere else. */
export function readHeader(line: string): CastHeader | undefined {
  const value = parse(line) as Partial<CastHeader> | undefined;
  const fits =
    value?.version === 2 &&
    [value.width, value.height].every((number) => typeof number === 'number') &&
    originFits(value);
  return fits ? (value as CastHeader) : undefined;
}

/** Of whatever begins with such a line. */
export function originFits({
  timestamp,
  sallyport: own,
}: {
  readonly timestamp?: number;
  readonly sallyport?: Partial<Origin>;
}): boolean {
  return (
    typeof timestamp === 'number' &&
    Math.abs(timestamp * 1_000) <= instant_ms_max &&
    [own?.id, own?.decision, own?.target, own?.request, own?.principal?.subject].every(
      (text) => typeof text === 'string',
    )
  );
}

/** The same for an event. */
export function readEvent(line: string): CastEvent | undefined {
  const value = parse(line);
  if (!Array.isArray(value)) return undefined;
  const [seconds, code, text] = value as unknown[];
  const fits = typeof seconds === 'number' && typeof text === 'string' && (codes as readonly unknown[]).includes(code);
  return fits ? [seconds, code as CastCode, text] : undefined;
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
