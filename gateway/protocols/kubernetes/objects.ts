import type { IncomingMessage, ServerResponse } from 'node:http';
import { ContentStream, JsonError, maskText, noKinds, type Kinds } from '../../content/index.js';
import { UpstreamError } from '../../errors.js';
import { drained, type Passed } from '../../web/index.js';
import { ListReader, type Part } from './lists.js';
import type { FieldMasks } from './masking.js';

/** Objects on their way under masks: one document is held and masked whole, of a long list one object after the other. */
export interface Masking {
  readonly mask: FieldMasks['mask'];
  /** Absent: what comes is no list, however long it is. */
  readonly maskPart?: FieldMasks['maskPart'];
  readonly kinds: Kinds;
  readonly bytes_max: number | undefined;
  /** Of the answer, without what is about its bytes. */
  readonly fields: readonly string[];
}

/** Of one document that is no list. */
const document_bytes_max = 67_108_864;
/** Of one object of a list, and of what is before or behind the objects. */
const part_bytes_max = 16_777_216;
/** Shorter ones are held: their length is told, and what is wrong with them is answered. */
const list_bytes_min = 1_048_576;
/** Of all that is held of all answers at once. */
const held_bytes_max = 268_435_456;
let held_bytes = 0;

/** So much of one answer is held. Throws UpstreamError for too much. */
class Held {
  #bytes = 0;

  add(bytes: number): number {
    this.set(this.#bytes + bytes, document_bytes_max);
    return this.#bytes;
  }

  set(bytes: number, bytes_max = Infinity): void {
    held_bytes += bytes - this.#bytes;
    this.#bytes = bytes;
    if (bytes > bytes_max) {
      throw new UpstreamError(
        `the answer has more than ${bytes_max} bytes in one piece, and fields of it are masked for you: ask for less at once (limit=…)`,
      );
    }
    if (bytes > 0 && held_bytes > held_bytes_max)
      throw new UpstreamError('too many large answers are being masked at once; try again');
  }
}

/** Throws UpstreamError before anything of it left; once something has, it breaks off. */
export async function passObjects(
  answer: IncomingMessage,
  response: ServerResponse,
  masking: Masking,
): Promise<Passed> {
  const reader = new ListReader();
  const held = new Held();
  /** What has come while it may be a short one; undefined once it is not. */
  let short: Buffer[] | undefined = [];
  let list: ListWriter | undefined;
  const gone = () => answer.destroy();
  const broken = (how: Passed['how']): Passed => {
    answer.destroy();
    response.destroy();
    return { how, bytes: list?.bytes ?? 0 };
  };
  response.once('close', gone);
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      let parts: readonly Part[];
      if (short === undefined) parts = reader.push(chunk);
      else {
        short.push(chunk);
        const bytes = held.add(chunk.length);
        if (masking.maskPart === undefined || bytes <= list_bytes_min) continue;
        parts = short.flatMap((each) => reader.push(each));
        short = undefined;
      }
      held.set(reader.held_bytes, reader.begun ? part_bytes_max : document_bytes_max);
      if (!reader.begun) continue;
      list ??= new ListWriter(response, answer.statusCode ?? 200, masking);
      const why = await list.write(parts);
      if (why !== undefined) return broken(why);
    }
    if (!answer.complete) throw new UpstreamError('the API server broke off its answer');
    if (list === undefined) {
      const bytes = short === undefined ? reader.rest() : Buffer.concat(short);
      return await passDocument(bytes, answer, response, masking);
    }
    if (!reader.over) return broken('cut');
    const why = await list.end(reader.rest());
    return why === undefined ? { how: 'whole', bytes: list.bytes } : broken(why);
  } catch (error) {
    answer.destroy();
    if (response.destroyed) return broken('gone');
    if (list !== undefined) return broken('cut');
    if (error instanceof UpstreamError) throw error;
    const what = error instanceof JsonError ? 'answered what is no JSON' : 'broke off its answer';
    throw new UpstreamError(`the API server ${what}`, { cause: error });
  } finally {
    response.off('close', gone);
    held.set(0);
  }
}

/** With what patterns find in it masked. */
export const found = (text: string, kinds: Kinds): string =>
  kinds === noKinds ? text : maskText(text, { kinds, numbers: true });

async function passDocument(
  bytes: Buffer,
  answer: IncomingMessage,
  response: ServerResponse,
  { mask, kinds, bytes_max = Infinity, fields }: Masking,
): Promise<Passed> {
  const text = bytes.toString('utf8');
  const masked = Buffer.from(found(mask(text), kinds));
  if (masked.length > bytes_max) return { bytes: 0, how: 'limit' };
  response.writeHead(answer.statusCode ?? 502, [...fields, 'content-length', String(masked.length)]);
  await new Promise<void>((resolve) => {
    response.once('close', resolve);
    response.end(masked, () => resolve());
  });
  return { bytes: masked.length, how: response.writableFinished ? 'whole' : 'gone' };
}

/** The parts of a list, each masked, as one answer. */
class ListWriter {
  readonly #response: ServerResponse;
  readonly #masking: Masking;
  readonly #content: ContentStream | undefined;
  #items = 0;
  #bytes = 0;

  constructor(response: ServerResponse, status: number, masking: Masking) {
    const { kinds, fields } = masking;
    this.#response = response;
    this.#masking = masking;
    // What is looked for in text may stand anywhere in it: it is one text.
    this.#content = kinds === noKinds ? undefined : new ContentStream({ kinds, numbers: true });
    response.writeHead(status, [...fields]);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Resolves once there is room for more, or with why no more goes on. Throws JsonError. */
  async write(parts: readonly Part[]): Promise<'gone' | 'limit' | undefined> {
    if (parts.length === 0) return undefined;
    return this.#send(Buffer.from(parts.map((part) => this.#masked(part)).join('')));
  }

  async end(tail: Buffer): Promise<'gone' | 'limit' | undefined> {
    const how = await this.write([{ where: 'tail', bytes: tail }]);
    if (how !== undefined) return how;
    const rest = this.#content === undefined ? undefined : await this.#put(this.#content.finish());
    if (rest !== undefined) return rest;
    this.#response.end();
    return undefined;
  }

  #masked({ where, bytes }: Part): string {
    const text = bytes.toString('utf8');
    if (where === 'none') return text;
    const masked = this.#masking.maskPart!(text, where);
    return where === 'item' && this.#items++ > 0 ? `,${masked}` : masked;
  }

  #send(bytes: Buffer): Promise<'gone' | 'limit' | undefined> {
    return this.#put(this.#content === undefined ? bytes : this.#content.push(bytes));
  }

  async #put(bytes: Buffer): Promise<'gone' | 'limit' | undefined> {
    this.#bytes += bytes.length;
    if (this.#bytes > (this.#masking.bytes_max ?? Infinity)) return 'limit';
    const response = this.#response;
    if (bytes.length > 0 && !response.write(bytes)) await drained(response);
    return response.destroyed ? 'gone' : undefined;
  }
}
