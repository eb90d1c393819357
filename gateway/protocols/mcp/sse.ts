import type { IncomingMessage } from 'node:http';
import { Lines } from '../../content/index.js';
import { UpstreamError } from '../../errors.js';

/**
 * Server-sent events: each holds one message of JSON-RPC.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export interface ServerEvent {
  readonly data: string;
  /** What a client names to go on behind it. */
  readonly id: string | undefined;
}

const id_chars_max = 1_024;

/** The events of an answer, as they come. Throws UpstreamError for one that is larger than `bytes_max`. */
export async function* readEvents(answer: IncomingMessage, bytes_max: number): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder('utf-8');
  const lines = new Lines('any');
  let data: string[] = [];
  let length = 0;
  let id: string | undefined;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    for (const line of lines.push(decoder.decode(chunk, { stream: true }))) {
      if (line === '') {
        if (data.length > 0) yield { data: data.join('\n'), id };
        data = [];
        length = 0;
        continue;
      }
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (name === 'data') {
        data.push(value);
        // Lines without a character take room as well.
        length += value.length + 1;
      } else if (name === 'id' && isEventId(value)) id = value;
    }
    if (lines.length + length > bytes_max) throw new UpstreamError('the server sent a message that is too large');
  }
}

/** What fits into a field of a request and a line of an event. */
export const isEventId = (id: string): boolean => id.length <= id_chars_max && /^[\x21-\x7e]+$/.test(id);

/** @param data One message on one line. */
export const eventText = (data: string, id?: string): string =>
  `${id === undefined ? '' : `id: ${id}\n`}event: message\ndata: ${data}\n\n`;
