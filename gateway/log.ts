import { pino, type DestinationStream, type Logger } from 'pino';
import picocolors from 'picocolors';

/** The log of the process: JSON lines on stderr, or lines for people where stderr is a terminal. */

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LogOptions {
  readonly level?: LogLevel;
  /** Lines for people instead of JSON. Absent: where the output is a terminal. */
  readonly readable?: boolean;
  /** Absent: where the output is a terminal and NO_COLOR is not set. */
  readonly colour?: boolean;
  /** Absent: stderr. */
  readonly output?: { write(text: string): unknown; readonly isTTY?: boolean };
}

/** Keys whose values are never written, wherever they stand. */
const secretNames = [
  'token',
  'password',
  'passphrase',
  'secret',
  'authorization',
  'credential',
  'private_key',
  'privateKey',
  'key',
  'cookie',
];
const secretKey = new RegExp(`^(${secretNames.join('|')})$`, 'iu');
/** What is a secret by its looks: a JWT, and the password inside a URL. */
const secretText: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?/gu, '[redacted]'],
  [/(\w:\/\/[^\s:/@"]*:)[^\s@/"]+@/gu, '$1[redacted]@'],
];

/** An object is looked into this deep; what lies deeper is left out. */
const depth_max = 8;

export function createLogger(options: LogOptions = {}): Logger {
  const { level = 'info', output = process.stderr } = options;
  const readable = options.readable ?? output.isTTY === true;
  const colour = options.colour ?? (output.isTTY === true && process.env.NO_COLOR === undefined);
  const colours = picocolors.createColors(colour);
  const destination: DestinationStream = {
    write(line) {
      output.write(scrub(readable ? readableLine(line, colours) : line));
    },
  };
  return pino(
    {
      level,
      base: null,
      // What a child logger is bound to passes by the formatters below.
      redact: { paths: secretNames, censor: '[redacted]' },
      timestamp: pino.stdTimeFunctions.isoTime,
      // The formatters have dealt with errors already.
      serializers: { err: (error: unknown) => error },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => withoutSecrets(fields, 0) as Record<string, unknown>,
      },
    },
    destination,
  );
}

function scrub(text: string): string {
  return secretText.reduce((scrubbed, [pattern, instead]) => scrubbed.replace(pattern, instead), text);
}

function withoutSecrets(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > depth_max) return '…';
  if (value instanceof Error) return errorFields(value, depth);
  if (typeof (value as { toJSON?: unknown }).toJSON === 'function') return value;
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      secretKey.test(key) && item !== undefined ? '[redacted]' : withoutSecrets(item, depth + 1),
    ]),
  );
}

/** An error with what only the log may know (`detail`), and what caused it. */
function errorFields(error: Error, depth: number): Record<string, unknown> {
  const { code, detail } = error as Error & { code?: unknown; detail?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(code !== undefined && { code }),
    ...(detail !== undefined && { detail }),
    ...(error.cause !== undefined && { cause: withoutSecrets(error.cause, depth + 1) }),
    stack: error.stack,
  };
}

type Colours = ReturnType<typeof picocolors.createColors>;

/** `09:00:00.000 warn  identity: keys cannot be read file=/etc/jwks.json` */
function readableLine(line: string, colours: Colours): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const paint =
    { trace: colours.dim, debug: colours.dim, info: colours.green, warn: colours.yellow }[String(level)] ?? colours.red;
  const parts = [
    colours.dim(String(time).slice(11, 23)),
    paint(String(level).padEnd(5)),
    visible(typeof msg === 'string' ? msg : ''),
    ...Object.entries(fields).map(([key, value]) => colours.dim(`${visible(key)}=`) + visible(printed(value))),
  ];
  return `${parts.filter((part) => part !== '').join(' ')}\n${err === undefined ? '' : readableError(err, colours)}`;
}

function readableError(error: unknown, colours: Colours): string {
  const { stack, message, detail } = (
    typeof error === 'object' && error !== null ? error : { message: error }
  ) as Record<string, unknown>;
  const lines = String(stack ?? message).split('\n');
  if (typeof detail === 'string') lines.splice(1, 0, `detail: ${detail}`);
  return lines.map((text) => `  ${colours.dim(visible(text.trim()))}\n`).join('');
}

const printed = (value: unknown) =>
  typeof value === 'string' && /^[^\s"=]+$/u.test(value) ? value : JSON.stringify(value);

/** Text that a client may have chosen must not move the cursor of whoever reads the log. */
function visible(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}]/gu,
    (character) => `\\u${character.codePointAt(0)?.toString(16).padStart(4, '0')}`,
  );
}
