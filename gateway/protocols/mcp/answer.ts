import type { ServerResponse } from 'node:http';
import { answerFields } from '../../web/index.js';
import { eventText } from './sse.js';

/**
 * What a client gets for one request over HTTP: one message as JSON, or, where something has to be said before that, a stream of
 * events of which the message is the last.
 */
export class Answer {
  readonly #response: ServerResponse;
  readonly #events: boolean;
  readonly #fields: Record<string, string> = {};
  #streams = false;
  #bound: { left_bytes: number; readonly over: () => void } | undefined;

  /** @param events Whether the client takes a stream of events. */
  constructor(response: ServerResponse, events: boolean) {
    this.#response = response;
    this.#events = events;
  }

  /** Whether something can be said before the answer. */
  get tells(): boolean {
    return this.#events && this.open;
  }

  /** Whether something was said already, so that the answer is an event of a stream. */
  get streams(): boolean {
    return this.#streams;
  }

  get open(): boolean {
    return !this.#response.destroyed && !this.#response.writableEnded;
  }

  /** A field of the answer, where it has not begun. */
  field(name: string, value: string): void {
    this.#fields[name] = value;
  }

  /** From now on so many bytes may be told. What would go beyond is not, and `over` is called once. */
  limit(bytes_max: number, over: () => void): void {
    this.#bound = { left_bytes: bytes_max, over };
  }

  /** Begins a stream of events. */
  begin(): void {
    if (this.#streams || !this.open) return;
    this.#streams = true;
    this.#head('text/event-stream');
    this.#response.flushHeaders();
  }

  /** One message before the answer. Resolves when the client takes more; false where it cannot be told. */
  async event(text: string, id?: string): Promise<boolean> {
    if (!this.tells || !this.#mayTell(text)) return false;
    this.begin();
    if (!this.#response.write(eventText(text, id))) await this.#drained();
    return true;
  }

  /** The answer. False where nobody takes it. */
  final(text: string, id?: string): boolean {
    if (!this.open) return false;
    if (this.#streams) {
      this.#response.end(eventText(text, id));
      return true;
    }
    const body = Buffer.from(text);
    this.#head('application/json', body.length);
    this.#response.end(body);
    return true;
  }

  #mayTell(text: string): boolean {
    const bound = this.#bound;
    if (bound === undefined) return true;
    const had_bytes = bound.left_bytes;
    bound.left_bytes -= Buffer.byteLength(text);
    if (bound.left_bytes < 0 && had_bytes >= 0) bound.over();
    return bound.left_bytes >= 0;
  }

  /** What is left of the limit; without one, all there is. */
  get left_bytes(): number {
    return this.#bound?.left_bytes ?? Infinity;
  }

  /** There will be no answer. */
  end(): void {
    if (!this.open) return;
    if (!this.#response.headersSent)
      this.#response.writeHead(202, { 'content-length': '0', 'cache-control': 'no-store' });
    this.#response.end();
  }

  #head(type: string, length?: number): void {
    this.#response.writeHead(200, [
      ...answerFields([], () => undefined).flat(),
      ...['content-type', type, 'cache-control', 'no-store'],
      ...(length === undefined ? [] : ['content-length', String(length)]),
      ...Object.entries(this.#fields).flat(),
    ]);
  }

  #drained(): Promise<void> {
    const response = this.#response;
    return new Promise((resolve) => {
      const over = () => {
        response.off('drain', over);
        response.off('close', over);
        resolve();
      };
      response.once('drain', over);
      response.once('close', over);
      if (response.destroyed) over();
    });
  }
}
