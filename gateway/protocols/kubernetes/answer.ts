import type { IncomingMessage, ServerResponse } from 'node:http';
import { StringDecoder } from 'node:string_decoder';
import { ContentStream, Lines, noKinds, type Kinds } from '../../content/index.js';
import { answerFields, drained, pass, type Passed } from '../../web/index.js';
import { UpstreamError } from '../../errors.js';
import type { KubernetesRequest } from './codec.js';
import { maskedStatus, type FieldMasks } from './masking.js';
import { found, passObjects } from './objects.js';

/** Answers on their way to the client: as they came where nothing is masked, else one JSON document after the other. */

/** Of one event of a watch. */
const event_bytes_max = 67_108_864;

/** How an answer is asked for where it has to be read here: as JSON, not packed, and with whole objects. */
export function readable(accept: string | undefined): Readonly<Record<string, string>> {
  // Metadata alone is objects, too; a table's cells are made of what would have to be masked.
  const kinds = (accept ?? '').split(',').map((each) => each.trim());
  const partial = kinds.find((each) => /^application\/json;.*as=PartialObjectMetadata(List)?(;|$)/.test(each));
  return { accept: partial ?? 'application/json', 'accept-encoding': 'identity' };
}

/** The same where nothing but text is looked at: tables and logs are text, protobuf and CBOR are not. */
export function readableText({ fields, info }: KubernetesRequest, kinds: Kinds): Readonly<Record<string, string>> {
  if (kinds === noKinds) return {};
  const wanted = (fields.get('accept') ?? '').split(',').map((each) => each.trim());
  const json = wanted.filter((each) => /^application\/json(;|$)/.test(each)).join(',');
  const any = info.isResource && info.subresource === 'log';
  return { accept: any ? '*/*' : json === '' ? 'application/json' : json, 'accept-encoding': 'identity' };
}

const textual = /^(?:text\/[\w.+-]+|application\/json)$/;

/**
 * Passes it on with back-pressure: as it is, or where kinds are given with what is found masked. Throws UpstreamError for what
 * cannot be looked into, before anything of it left.
 */
export function passText(
  answer: IncomingMessage,
  response: ServerResponse,
  kinds: Kinds,
  bytes_max?: number,
): Promise<Passed> {
  const status = answer.statusCode ?? 502;
  if (kinds === noKinds) {
    response.writeHead(
      status,
      fieldsOf(answer, () => false),
    );
    return pass(answer, response, bytes_max);
  }
  const media = mediaOf(answer);
  const packed = (answer.headers['content-encoding'] ?? 'identity') !== 'identity';
  if (packed || (media !== '' && !textual.test(media))) {
    answer.destroy();
    throw new UpstreamError('the API server answered in a form that masks cannot be put in');
  }
  response.writeHead(status, [...fieldsOf(answer, dropped), 'content-type', media === '' ? 'text/plain' : media]);
  const stream = new ContentStream({ kinds, numbers: media === 'application/json' });
  const mask = { push: (chunk: Buffer) => stream.push(chunk), finish: () => stream.finish() };
  return pass(answer, response, bytes_max, mask);
}

/** Masks and passes it on. Throws UpstreamError for what cannot be looked into, before anything of it left. */
export async function passMasked(
  answer: IncomingMessage,
  response: ServerResponse,
  masks: FieldMasks,
  {
    watch,
    bytes_max,
    kinds,
  }: { readonly watch: boolean; readonly bytes_max: number | undefined; readonly kinds: Kinds },
): Promise<Passed> {
  const status = answer.statusCode ?? 502;
  const media = mediaOf(answer);
  const packed = (answer.headers['content-encoding'] ?? 'identity') !== 'identity';
  const failed = status < 200 || status > 299;
  if ((media !== 'application/json' && !failed) || packed) {
    answer.destroy();
    throw new UpstreamError('the API server answered in a form that masks cannot be put in');
  }
  if (watch && !failed) return passEvents(answer, response, (line) => found(masks.mask(line), kinds), bytes_max);
  return passObjects(answer, response, {
    ...(failed
      ? { mask: maskedStatus }
      : {
          mask: (text) => (text === '' ? text : masks.mask(text)),
          maskPart: (text, where) => masks.maskPart(text, where),
        }),
    ...{ kinds, bytes_max, fields: [...fieldsOf(answer, dropped), 'content-type', 'application/json'] },
  });
}

/** What is about the bytes as the API server sent them; a warning may quote a value. */
const changed = new Set([
  'content-type',
  'content-length',
  'etag',
  'content-md5',
  'digest',
  'warning',
  'last-modified',
]);
const dropped = (name: string) => changed.has(name);

const mediaOf = ({ headers }: IncomingMessage): string =>
  (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();

const fieldsOf = (answer: IncomingMessage, drops: (name: string) => boolean): string[] =>
  answerFields(answer.rawHeaders, (name, value) => (drops(name) ? undefined : value)).flat();

/** The events of a watch: one JSON document a line. */
async function passEvents(
  answer: IncomingMessage,
  response: ServerResponse,
  mask: (line: string) => string,
  bytes_max: number | undefined,
): Promise<Passed> {
  response.writeHead(answer.statusCode ?? 200, [...fieldsOf(answer, dropped), 'content-type', 'application/json']);
  response.flushHeaders();
  const decoder = new StringDecoder('utf8');
  const lines = new Lines('lf');
  const gone = () => answer.destroy();
  response.once('close', gone);
  let bytes = 0;
  const end = (how: Passed['how']): Passed => {
    response.off('close', gone);
    if (how === 'whole') response.end();
    else response.destroy();
    if (how !== 'whole') answer.destroy();
    return { bytes, how };
  };
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      const whole = lines.push(decoder.write(chunk));
      if (lines.length > event_bytes_max) return end('cut');
      const events = whole.filter((line) => line.trim() !== '').map((line) => `${mask(line)}\n`);
      if (events.length === 0) continue;
      const masked = Buffer.from(events.join(''));
      bytes += masked.length;
      if (bytes_max !== undefined && bytes > bytes_max) return end('limit');
      if (!response.write(masked)) await drained(response);
      if (response.destroyed) return end('gone');
    }
    const last = lines.rest() + decoder.end();
    // A line without its end is no event.
    return end(last.trim() === '' && answer.complete ? 'whole' : 'cut');
  } catch {
    return end(response.destroyed ? 'gone' : 'cut');
  }
}
