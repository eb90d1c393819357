import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline, type Readable } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { UpstreamError } from '../../errors.js';
import { ContentStream, JsonError } from '../../content/index.js';
import { answerFields, drained, type Passed } from '../../web/index.js';
import { EventMasker, LineMasker } from './events.js';
import type { AnswerMasks, Masker } from './masking.js';

/**
 * Answers that are masked on their way: one JSON text is held until it is whole; events, lines and plain texts go on as they
 * come. What cannot be looked into is not passed.
 */
export interface Masked {
  readonly bytes_max: number | undefined;
  /** Fields of the head, as they are passed. */
  readonly field: (name: string, value: string) => string | undefined;
  readonly more: readonly [string, string][];
  /** Of all documents at once; absent: as much as the gateway holds. */
  readonly held_bytes_max?: number;
}

/** Of one JSON text. */
const document_bytes_max = 67_108_864;
/** Of all of them at once. */
const held_bytes_max = 268_435_456;
let held_bytes = 0;

type Form = 'json' | 'lines' | 'events' | 'text' | 'none';

/** About the bytes as the target sent them, from which they could be told. */
const dropped = new Set([
  ...['content-length', 'content-encoding', 'etag', 'content-md5', 'digest', 'repr-digest', 'content-digest'],
  ...['accept-ranges', 'content-range', 'warning', 'x-goog-hash', 'x-content-hash', 'x-checksum'],
]);
const droppedBeginnings = ['x-amz-checksum-', 'x-checksum-', 'x-ms-content-'];

/** Throws UpstreamError where it cannot be masked, before anything of it has left. */
export async function passMasked(
  answer: IncomingMessage,
  response: ServerResponse,
  masks: AnswerMasks,
  options: Masked,
): Promise<Passed> {
  const form = formOf(answer, response, masks);
  const body = unpacked(answer);
  if (form === 'json') return passDocument(body, answer, response, masks, options);
  begin(answer, response, masks, options);
  const masker =
    form === 'lines' ? new LineMasker(masks) : form === 'events' ? new EventMasker(masks) : textMasker(masks);
  return passPieces(body, answer, response, masker, options.bytes_max);
}

const textMasker = ({ kinds }: AnswerMasks): Masker => new ContentStream({ kinds, numbers: false });

function formOf(answer: IncomingMessage, response: ServerResponse, masks: AnswerMasks): Form {
  const status = answer.statusCode ?? 0;
  const empty =
    response.req.method === 'HEAD' || status === 204 || status === 304 || answer.headers['content-length'] === '0';
  if (empty) return 'none';
  const media = (answer.headers['content-type'] ?? '').toLowerCase();
  const essence = media.split(';', 1)[0]!.trim();
  const charset = /;\s*charset="?([^";\s]*)/.exec(media)?.[1] ?? 'utf-8';
  const form = status === 206 || !['utf-8', 'utf8', 'us-ascii'].includes(charset) ? undefined : known(essence);
  if (form === undefined || (form === 'text' && masks.fields)) {
    answer.destroy();
    throw new UpstreamError(
      `the request was carried out, and its answer (status ${String(status)}) is withheld: it is masked for you, and not of a kind that masks can be put in`,
    );
  }
  return form;
}

function known(essence: string): Form | undefined {
  if (essence === 'application/json' || /^[a-z]+\/[a-z0-9.+-]+\+json$/.test(essence)) return 'json';
  if (essence === 'application/x-amz-json-1.0' || essence === 'application/x-amz-json-1.1') return 'json';
  if (['application/x-ndjson', 'application/ndjson', 'application/jsonl', 'application/json-lines'].includes(essence)) {
    return 'lines';
  }
  if (essence === 'text/event-stream') return 'events';
  if (essence.startsWith('text/') || essence === 'application/xml' || essence.endsWith('+xml')) return 'text';
  return undefined;
}

/** It was asked for as it is; some servers pack all the same. */
function unpacked(answer: IncomingMessage): Readable {
  const coding = (answer.headers['content-encoding'] ?? 'identity').toLowerCase();
  const unpack =
    coding === 'gzip' || coding === 'x-gzip'
      ? createGunzip()
      : coding === 'br'
        ? createBrotliDecompress()
        : coding === 'deflate'
          ? createInflate()
          : undefined;
  if (unpack !== undefined) return pipeline(answer, unpack, () => undefined);
  if (coding === 'identity') return answer;
  answer.destroy();
  throw new UpstreamError('the answer is packed in a way that cannot be looked into, and it is masked for you');
}

function begin(
  answer: IncomingMessage,
  response: ServerResponse,
  masks: AnswerMasks,
  { field, more }: Masked,
  length?: number,
): void {
  const fields = answerFields(answer.rawHeaders, (name, value) => {
    if (dropped.has(name) || droppedBeginnings.some((start) => name.startsWith(start))) return undefined;
    const passed = field(name, value);
    return passed === undefined ? undefined : masks.text(passed);
  });
  if (length !== undefined) fields.push(['content-length', String(length)]);
  response.writeHead(answer.statusCode ?? 502, [...fields, ...more].flat());
  // Where its length is known, all of it follows at once.
  if (length === undefined) response.flushHeaders();
}

async function passDocument(
  body: Readable,
  answer: IncomingMessage,
  response: ServerResponse,
  masks: AnswerMasks,
  options: Masked,
): Promise<Passed> {
  let length = 0;
  const hold = (more: number): void => {
    length += more;
    held_bytes += more;
    if (length > document_bytes_max) {
      throw new UpstreamError(
        `the answer has more than ${document_bytes_max} bytes, and is masked for you: ask for less at once`,
      );
    }
    if (held_bytes > (options.held_bytes_max ?? held_bytes_max)) {
      throw new UpstreamError('too many large answers are being masked at once; try again');
    }
  };
  try {
    const masked = maskedDocument(await whole(body, answer, hold), masks);
    if (masked.length > (options.bytes_max ?? Infinity)) return { bytes: 0, how: 'limit' };
    begin(answer, response, masks, options, masked.length);
    await new Promise<void>((resolve) => {
      response.once('close', resolve);
      response.end(masked, () => resolve());
    });
    return { bytes: masked.length, how: response.writableFinished ? 'whole' : 'gone' };
  } finally {
    // As long as the client has not taken it, it is held.
    held_bytes -= length;
  }
}

function maskedDocument(text: string, masks: AnswerMasks): Buffer {
  try {
    return Buffer.from(text.trim() === '' ? text : masks.json(text));
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new UpstreamError(
      'the request was carried out, and its answer is withheld: it is no JSON, and masked for you',
      { cause: error },
    );
  }
}

/** @param hold Of each piece; throws where there are too many bytes. */
async function whole(body: Readable, answer: IncomingMessage, hold: (bytes: number) => void): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      hold(chunk.length);
      chunks.push(chunk);
    }
    if (!answer.complete) throw new UpstreamError('the target broke off its answer');
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    answer.destroy();
    if (error instanceof UpstreamError) throw error;
    throw new UpstreamError('the target broke off its answer, or it is no UTF-8', { cause: error });
  }
}

/** UTF-16, whatever it is said to be. */
const wide = (piece: Buffer): boolean => piece.includes(0);

async function passPieces(
  body: Readable,
  answer: IncomingMessage,
  response: ServerResponse,
  masker: Masker,
  bytes_max = Infinity,
): Promise<Passed> {
  const gone = () => answer.destroy();
  response.once('close', gone);
  let bytes = 0;
  const end = (how: Passed['how']): Passed => {
    response.off('close', gone);
    if (how === 'whole') response.end();
    else {
      response.destroy();
      answer.destroy();
    }
    return { bytes, how };
  };
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (wide(chunk)) return end('cut');
      const masked = masker.push(chunk);
      bytes += masked.length;
      if (bytes > bytes_max) return end('limit');
      if (masked.length > 0 && !response.write(masked)) await drained(response);
      if (response.destroyed) return end('gone');
    }
    const last = masker.finish();
    bytes += last.length;
    if (bytes > bytes_max) return end('limit');
    if (last.length > 0) response.write(last);
    return end(answer.complete ? 'whole' : 'cut');
  } catch {
    return end(response.destroyed ? 'gone' : 'cut');
  }
}
