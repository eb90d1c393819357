import type { IncomingMessage } from 'node:http';
import { maskText, noKinds, type Kinds } from '../../../content/index.js';
import { UpstreamError } from '../../../errors.js';
import { readAnswer, sha256, type Problem } from '../../../web/index.js';

/**
 * kubectl takes any refused WebSocket for one of a server that is too old, asks again over SPDY, and shows only what the second
 * answer said. So the second gets what the first got: why it was denied, that nobody approved it, that there is no such pod.
 */
export interface Refused {
  readonly problem: Problem;
  /** The API server's own words. */
  readonly text?: string;
}

const refusals_max = 256;
const kept_ms = 30_000;

export class Refusals {
  readonly #kept = new Map<string, { readonly refused: Refused; readonly until_ms: number }>();

  /** @param asked Path and query. */
  keep(token: string, target: string, asked: string, refused: Refused): void {
    const oldest = this.#kept.keys().next();
    if (this.#kept.size >= refusals_max && oldest.done !== true) this.#kept.delete(oldest.value);
    this.#kept.set(keyOf(token, target, asked), { refused, until_ms: performance.now() + kept_ms });
  }

  /** What the same principal was just told at the same target for the same; once. */
  take(token: string, target: string, asked: string): Refused | undefined {
    const key = keyOf(token, target, asked);
    const found = this.#kept.get(key);
    this.#kept.delete(key);
    return found !== undefined && found.until_ms > performance.now() ? found.refused : undefined;
  }
}

const keyOf = (...parts: string[]) => sha256(JSON.stringify(parts));

/** The same was asked and refused a moment ago. */
export class Again extends Error {
  constructor(readonly refused: Refused) {
    super('refused before');
  }
}

export const refusedByUpstream = (status: number): Problem => ({
  status,
  code: 'upstream',
  title: 'Refused by the API server',
  detail: 'the API server refused it',
});

const answer_bytes_max = 65_536;

/** What the API server answered in place of the stream. Throws UpstreamError where that is no refusal. */
export async function refusalOf(answer: IncomingMessage, kinds: Kinds): Promise<Required<Refused>> {
  const status = answer.statusCode ?? 0;
  if (status < 400) {
    answer.destroy();
    throw new UpstreamError(`the API server answered a handshake with ${status}`);
  }
  const text = (await readAnswer(answer, answer_bytes_max)).toString('utf8');
  return {
    problem: refusedByUpstream(status),
    text: kinds === noKinds ? text : maskText(text, { kinds, numbers: true }),
  };
}
