import { StringDecoder } from 'node:string_decoder';
import { JsonError, Lines } from '../../content/index.js';
import type { AnswerMasks, Masker } from './masking.js';

/** Answers that are made of many small texts: lines of JSON, and events (WHATWG HTML, "Server-sent events"). */

/** Of one line or event, which is held until it is whole. */
const piece_chars_max = 8_388_608;
const none = Buffer.alloc(0);

/** One JSON text a line. */
export class LineMasker implements Masker {
  readonly #masks: AnswerMasks;
  readonly #decoder = new StringDecoder('utf8');
  readonly #lines = new Lines('lf');

  constructor(masks: AnswerMasks) {
    this.#masks = masks;
  }

  push(piece: Buffer): Buffer {
    const lines = this.#lines.push(this.#decoder.write(piece));
    checkLength(this.#lines);
    return Buffer.from(lines.map((line) => `${this.#line(line)}\n`).join(''));
  }

  finish(): Buffer {
    return Buffer.from(this.#line(this.#lines.rest() + this.#decoder.end()));
  }

  #line(line: string): string {
    return line.trim() === '' ? line : this.#masks.json(line);
  }
}

/**
 * Events, each as soon as it is whole: what its data lines say together is one text, JSON or not. Where fields are masked, a
 * text that is no JSON is not shown, but for the word with which some APIs end.
 */
export class EventMasker implements Masker {
  readonly #masks: AnswerMasks;
  readonly #decoder = new StringDecoder('utf8');
  readonly #lines = new Lines('any');
  #event: string[] = [];
  #chars = 0;

  constructor(masks: AnswerMasks) {
    this.#masks = masks;
  }

  push(piece: Buffer): Buffer {
    const lines = this.#lines.push(this.#decoder.write(piece));
    checkLength(this.#lines);
    return Buffer.from(lines.map((line) => this.#take(line)).join(''));
  }

  /** An event without an empty line behind it is none. */
  finish(): Buffer {
    return none;
  }

  #take(line: string): string {
    if (line !== '') {
      this.#chars += line.length;
      if (this.#chars > piece_chars_max) throw new JsonError('an event is larger than is looked at');
      // A comment alone keeps a connection up: it goes on at once.
      if (line.startsWith(':') && this.#event.length === 0) return ':\n';
      this.#event.push(line);
      return '';
    }
    const event = this.#event;
    this.#event = [];
    this.#chars = 0;
    return event.length === 0 ? '\n' : this.#masked(event);
  }

  #masked(lines: readonly string[]): string {
    const kept: string[] = [];
    const data: string[] = [];
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (name === 'data') data.push(value);
      else if (name === 'event' || name === 'id' || name === 'retry')
        kept.push(`${name}: ${this.#masks.text(value)}\n`);
    }
    const text = data.length === 0 ? [] : this.#data(data.join('\n')).split('\n');
    return `${kept.join('')}${text.map((line) => `data: ${line}\n`).join('')}\n`;
  }

  #data(text: string): string {
    try {
      return this.#masks.json(text);
    } catch (error) {
      if (!(error instanceof JsonError)) throw error;
      return text === '[DONE]' || !this.#masks.fields ? this.#masks.text(text) : '***';
    }
  }
}

function checkLength({ length }: Lines): void {
  if (length > piece_chars_max) throw new JsonError('a line is larger than is looked at');
}
