import { promptOf } from '../../web/index.js';
import type { ApiClient } from '../api/client.js';
import type { Json } from './outcome.js';

/** Which prompt it was, as the operation itself can say it: an id of one word, and a trace. */
export interface SaidPrompt {
  readonly id?: string;
  /** A W3C traceparent. */
  readonly trace?: string;
}

const text_chars_max = 32_768;
const known_max = 256;

/**
 * From what a call says of its prompt (`_meta["sallyport/prompt"]`: an id, or {"id", "text"}; `_meta.traceparent`). A text is registered
 * with the gateway, so that whatever comes of the call, in whichever protocol, names the same id.
 */
export class PromptDesk {
  /** Of texts and traces that were registered, the latest. */
  readonly #ids = new Map<string, Promise<string | undefined>>();
  readonly #warn: (message: string) => void;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  async of(meta: Json, api: ApiClient): Promise<SaidPrompt> {
    const said = meta['sallyport/prompt'];
    const { id, text } = typeof said === 'object' && said !== null ? (said as Json) : { id: said, text: undefined };
    const fields = new Map<string, string>();
    if (typeof id === 'string') fields.set('x-sallyport-prompt', id);
    const { traceparent } = meta;
    if (typeof traceparent === 'string') fields.set('traceparent', traceparent);
    const named = promptOf(fields) ?? {};
    if (typeof text !== 'string' || text === '') return named;
    const registered = await this.#registered(text.slice(0, text_chars_max), named.trace, api);
    return registered === undefined ? named : { ...named, id: registered };
  }

  /** The same prompt makes many calls. Undefined where the gateway keeps none: the calls go on, and say what they can. */
  async #registered(text: string, trace: string | undefined, api: ApiClient): Promise<string | undefined> {
    const key = JSON.stringify([text, trace]);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = api.post<{ id: string }>('/v1/prompts', { text, ...(trace === undefined ? {} : { trace }) }).then(
      ({ id: given }) => given,
      (error: unknown) => {
        this.#ids.delete(key);
        this.#warn(`the prompt could not be registered: ${(error as Error).message}`);
        return undefined;
      },
    );
    const [oldest] = this.#ids.keys();
    if (this.#ids.size >= known_max && oldest !== undefined) this.#ids.delete(oldest);
    this.#ids.set(key, id);
    return id;
  }
}
