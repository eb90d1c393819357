import { createHash } from 'node:crypto';

/**
 * Finds canaries in whatever a client received: in clear, in either case, reversed, in pieces, hashed, and through the
 * encodings that a statement can wrap them in, two deep.
 */
export class Scanner {
  /** Windows of words, forwards and backwards, in lower case; by their length. */
  private readonly windows = new Map<number, Map<string, string>>();
  /** Whole numbers and days, and beginnings of digests. */
  private readonly wholes = new Map<string, string>();
  private readonly digests = new Map<string, string>();

  constructor(canaries: Iterable<string>) {
    for (const size of [window_clear, window_decoded]) this.windows.set(size, new Map());
    for (const canary of canaries) {
      const value = canary.toLowerCase();
      if (/^\d+$/.test(value)) this.wholes.set(value, canary);
      else if (/^\d{4}-\d\d-\d\d$/.test(value)) {
        this.wholes.set(value, canary);
        this.wholes.set(value.replaceAll('-', ''), canary);
      } else {
        for (const [size, windows] of this.windows) {
          for (const text of [value, [...value].reverse().join('')])
            for (let at = 0; at + size <= text.length; at++) windows.set(text.slice(at, at + size), canary);
        }
      }
      for (const form of new Set([canary, value, canary.toUpperCase()]))
        for (const algorithm of ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'])
          this.digests.set(createHash(algorithm).update(form).digest('hex').slice(0, digest_prefix), canary);
    }
  }

  /** What was found: the canary and how; undefined where nothing was. */
  find(bytes: Buffer): { canary: string; how: string } | undefined {
    return this.search(bytes.toString('latin1'), [], 2);
  }

  private search(text: string, path: readonly string[], depth: number): { canary: string; how: string } | undefined {
    const lower = text.toLowerCase();
    const found = this.plain(lower, path.length === 0 ? window_clear : window_decoded);
    if (found !== undefined) return { canary: found, how: path.length === 0 ? 'clear' : path.join(' of ') };
    if (depth === 0) return undefined;
    for (const [name, decode] of decoders) {
      const decoded = decode(text);
      if (decoded === undefined || decoded === text) continue;
      const deeper = this.search(decoded, [name, ...path], depth - 1);
      if (deeper !== undefined) return deeper;
    }
    return undefined;
  }

  private plain(text: string, size: number): string | undefined {
    const windows = this.windows.get(size) ?? new Map<string, string>();
    for (const run of text.matchAll(/[a-z0-9]{5,}/g)) {
      const word = run[0];
      for (let at = 0; at + size <= word.length; at++) {
        const found = windows.get(word.slice(at, at + size));
        if (found !== undefined) return found;
      }
    }
    for (const [value] of text.matchAll(/\d{4}-\d\d-\d\d|\d{8,}/g)) {
      for (const size_ of /-/.test(value) ? [value.length] : [8, 9, 16]) {
        for (let at = 0; at + size_ <= value.length; at++) {
          const found = this.wholes.get(value.slice(at, at + size_));
          if (found !== undefined) return found;
        }
      }
    }
    for (const [value] of text.matchAll(/[0-9a-f]{16,}/g)) {
      for (let at = 0; at + digest_prefix <= value.length; at++) {
        const found = this.digests.get(value.slice(at, at + digest_prefix));
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }
}

const window_clear = 5;
/** What comes out of a decoder is often noise, in which shorter ones would be found by chance. */
const window_decoded = 6;
const digest_prefix = 14;

/** Each gives the text with its encoded parts decoded, or undefined where there are none. */
const decoders: readonly (readonly [string, (text: string) => string | undefined])[] = [
  ['hexadecimal', (text) => runs(text, /(?:[0-9a-f]{2}){6,}[0-9a-f]?/gi, hexadecimal)],
  ['base64', (text) => runs(text, /[A-Za-z0-9+/_-]{8,}={0,2}/g, base64)],
  ['bits', (text) => runs(text, /[01]{40,}/g, bits)],
  ['UTF-16', (text) => (text.includes('\0') ? text.replaceAll('\0', '') : undefined)],
  ['URL', escapes(/%([0-9a-f]{2})/gi, 16)],
  ['quoted-printable', escapes(/=([0-9a-f]{2})/gi, 16)],
  ['JSON', escapes(/\\+u([0-9a-f]{4})/gi, 16)],
  ['octal', escapes(/\\+([0-3][0-7]{2})/g, 8)],
  ['XML', escapes(/&#x([0-9a-f]{2,4});/gi, 16)],
  ['XML, decimal', escapes(/&#(\d{2,4});/g, 10)],
  ['codes', (text) => runs(text, /(?:\b\d{2,3}\b[^\w\n]{1,3}){5,}\b\d{2,3}\b/g, codes)],
  [
    'spread',
    (text) =>
      runs(text, /(?:[A-Za-z0-9][^A-Za-z0-9\n]{1,3}){5,}[A-Za-z0-9]/g, (run) => [run.replace(/[^A-Za-z0-9]/g, '')]),
  ],
];

function runs(text: string, pattern: RegExp, decode: (run: string) => readonly string[]): string | undefined {
  const parts = [...text.matchAll(pattern)].flatMap(([run]) => decode(run));
  return parts.length === 0 ? undefined : parts.join('\n');
}

function escapes(pattern: RegExp, base: number): (text: string) => string | undefined {
  return (text) => {
    const decoded = text.replace(pattern, (_whole, code: string) => String.fromCharCode(parseInt(code, base)));
    return decoded === text ? undefined : decoded;
  };
}

/** A run may begin in the middle of a byte. */
const hexadecimal = (run: string): string[] =>
  [run, run.slice(1)].flatMap((part) =>
    legible(Buffer.from(part.slice(0, part.length - (part.length % 2)), 'hex').toString('latin1')),
  );

/** And in the middle of a group of four. What it held may be a digest, which is looked for in hexadecimal. */
const base64 = (run: string): string[] =>
  [0, 1, 2, 3].flatMap((skip) => {
    const bytes = Buffer.from(run.slice(skip), 'base64');
    const readable = legible(bytes.toString('latin1'));
    return bytes.length >= 16 ? [...readable, bytes.toString('hex')] : readable;
  });

/** Of what was decoded, what can be read: noise would only be decoded again. */
const legible = (text: string): string[] => text.match(/[\0\x20-\x7e]{6,}/g) ?? [];

const bits = (run: string): string[] =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((skip) =>
    String.fromCharCode(...(run.slice(skip).match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2))),
  );

const codes = (run: string): string[] => [String.fromCharCode(...(run.match(/\d{2,3}/g) ?? []).map(Number))];
