import type { IncomingMessage } from 'node:http';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { UpstreamError } from '../../errors.js';
import { Concealing, type Sought } from './sought.js';

/**
 * Answers of whoever was asked with the gateway's own credential: what repeats it is concealed before anybody here reads it, in the
 * fields and in the bytes, however these are read then.
 */

const repeating = new WeakSet<IncomingMessage>();

/** For the record, once an answer is over: whether it had the credential in it. */
export const warningsOf = (answer: IncomingMessage): { readonly warnings?: readonly ['credential_repeated'] } =>
  repeating.has(answer) ? { warnings: ['credential_repeated'] } : {};

/**
 * Has to be called before anything of the body has come, that is, when the head does.
 *
 * @param body Whether there is one that has to be looked through.
 * @returns why the answer may not be passed on: it is packed, or written, in a way that cannot be looked into.
 */
export function concealIn(answer: IncomingMessage, sought: Sought, body: boolean): UpstreamError | undefined {
  const found = () => void repeating.add(answer);
  concealFields(answer, sought, found);
  if (!body || answer.statusCode === 204 || answer.statusCode === 304) return undefined;
  const unpacker = hasAscii(answer) ? unpackerOf(answer) : new UpstreamError(unsearchable);
  if (unpacker instanceof UpstreamError) return unpacker;
  if (unpacker !== undefined) inspect(answer, sought, found, unpacker);
  else conceal(answer, sought, found);
  return undefined;
}

function conceal(answer: IncomingMessage, sought: Sought, found: () => void): void {
  const push = answer.push.bind(answer);
  const concealing = new Concealing(sought, found);
  // Whatever Node has of the body comes through here: whoever reads it cannot miss it.
  answer.push = (piece: Buffer | null): boolean => {
    const bytes = piece === null ? concealing.finish() : concealing.push(piece);
    const more = bytes.length === 0 || push(bytes);
    return piece === null ? push(null) : more;
  };
}

function concealFields(answer: IncomingMessage, sought: Sought, found: () => void): void {
  const { rawHeaders: raw, headers } = answer;
  if (sought.conceal(Buffer.from(raw.join('\n'))) === 0) return;
  found();
  for (const [index, text] of raw.entries()) raw[index] = sought.concealed(text);
  for (const [name, value] of Object.entries(headers)) {
    headers[name] = Array.isArray(value) ? value.map((one) => sought.concealed(one)) : value && sought.concealed(value);
  }
}

const unsearchable =
  "the target answered in a character set that cannot be searched for the gateway's own credential: ask for UTF-8";
/** In these all of ASCII stands as it is. Frameworks write others (UTF-16, EBCDIC) where the request asks for them. */
const asciiSets =
  /^(?:utf-?8|(?:us-)?ascii|binary|iso-?8859-?\d[\w-]*|iso-2022-\w+|latin-?\d+|windows-\w+|cp125\d|koi8-\w+|x-mac-\w+|macintosh|gb(?:2312|k|18030)|euc-\w+|big5[\w-]*|shift[_-]jis|x-sjis|tis-620)$/;

function hasAscii({ headers }: IncomingMessage): boolean {
  const type = (headers['content-type'] ?? '').toLowerCase();
  const sets = [...type.matchAll(/;\s*charset\s*=\s*["']?([^"';\s]*)/g)].map(([, set = '']) => set);
  return sets.every((set) => set === '' || asciiSets.test(set));
}

type Unpacker = ReturnType<typeof createGunzip>;

/** Undefined for what is not packed. S3 says of objects that they were sent in chunks, and gives them without. */
function unpackerOf({ headers, statusCode }: IncomingMessage): (() => Unpacker) | UpstreamError | undefined {
  const said = (headers['content-encoding'] ?? '')
    .toLowerCase()
    .split(',')
    .map((one) => one.trim());
  const [coding, ...more] = said.filter((one) => one !== '' && one !== 'identity' && one !== 'aws-chunked');
  if (coding === undefined) return undefined;
  const unpacker = more.length === 0 && statusCode !== 206 ? unpackers.get(coding) : undefined;
  return (
    unpacker ??
    new UpstreamError(
      "the target packed its answer in a way that it was not asked for, and that cannot be searched for the gateway's own credential",
    )
  );
}

const unpackers: ReadonlyMap<string, () => Unpacker> = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/**
 * It was asked for as it is, and comes packed all the same, as stored objects do: the bytes stay what they are, and each piece waits until
 * what is in it is known. Where that is the credential, the answer breaks off before it.
 */
function inspect(answer: IncomingMessage, sought: Sought, found: () => void, unpacker: () => Unpacker): void {
  const push = answer.push.bind(answer);
  const unpack = unpacker();
  let repeats = false;
  const inside = new Concealing(sought, () => (repeats = true));
  /** It may stand beside what is packed as well: behind its end, or in the name that gzip gives. */
  const outside = new Concealing(sought, () => (repeats = true));
  const come: (Buffer | null)[] = [];
  let held: Buffer[] = [];
  let held_bytes = 0;
  let running = false;

  const broken = (why: string, cause?: Error): void => {
    unpack.destroy();
    answer.destroy(new UpstreamError(why, { cause }));
  };
  const look = async (): Promise<void> => {
    running = true;
    for (let piece = come.shift(); piece !== undefined && !answer.destroyed; piece = come.shift()) {
      if (piece === null) {
        unpack.destroy();
        for (const one of held) push(one);
        push(null);
        break;
      }
      outside.push(piece);
      await through(unpack, piece);
      if (repeats) {
        found();
        return broken("the answer repeats the gateway's own credential, and is packed");
      }
      held.push(piece);
      held_bytes += piece.length;
      if (inside.waits || outside.waits) {
        if (held_bytes > held_bytes_max) return broken('too much of a packed answer cannot be told apart');
        // Nothing of it goes on, and more is needed: Node reads on.
        push(nothing);
        continue;
      }
      for (const one of held) push(one);
      held = [];
      held_bytes = 0;
    }
    running = false;
  };
  unpack.on('data', (bytes: Buffer) => void inside.push(bytes));
  unpack.on('error', (error) => broken('the answer is not packed as it says', error));
  answer.once('close', () => unpack.destroy());
  // Nothing more is read until this is known.
  answer.push = (piece: Buffer | null): boolean => {
    come.push(piece);
    if (!running) void look();
    return false;
  };
}

const nothing = Buffer.alloc(0);
/** Of a packed answer, while its last bytes unpacked could be the beginning of a secret. */
const held_bytes_max = 1_048_576;

/** Resolves once all that is in the piece has been looked at, or never will be. */
function through(unpack: Unpacker, piece: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      if (unpack.readableLength === 0 || unpack.destroyed) resolve();
      else setImmediate(done);
    };
    unpack.once('close', resolve);
    unpack.write(piece, () => {
      unpack.off('close', resolve);
      done();
    });
  });
}
