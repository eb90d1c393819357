import type { Json } from './outcome.js';

/**
 * JSON-RPC over standard input and output, a message a line, as MCP's servers speak it. What is said on standard output is the protocol
 * alone.
 *
 * @see https://modelcontextprotocol.io/specification/2025-06-18/basic/transports#stdio
 */
export type Id = string | number;

/** A request as it is carried out. */
export interface Asking {
  /** Aborted where the client took it back, or is gone. */
  readonly signal: AbortSignal;
  /** Tells the client how it goes; false where it wants to hear of nothing. */
  readonly tell: (message: string) => boolean;
}

/** Answers a request with its result. Rejects with RpcError for what is answered with an error. */
export type Handle = (method: string, params: Json, asking: Asking) => Promise<Json>;

export class RpcError extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

export const rpc = { parse: -32_700, invalid: -32_600, unknown: -32_601, params: -32_602, internal: -32_603 } as const;

const line_chars_max = 1_048_576;
const requests_max = 32;

/** Resolves when the input has ended and nothing is underway any more. */
export async function serveLines(
  input: AsyncIterable<Buffer | string>,
  write: (line: string) => void,
  handle: Handle,
): Promise<void> {
  const connection = new Lines(write, handle);
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let skipping = false;
  for await (const chunk of input) {
    const lines = (rest + (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }))).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      // The end of one that was too long already.
      if (!skipping) connection.line(line);
      skipping = false;
    }
    if (rest.length <= line_chars_max) continue;
    if (!skipping) connection.refuse(null, rpc.invalid, `a message has at most ${line_chars_max} characters`);
    skipping = true;
    rest = '';
  }
  await connection.end();
}

class Lines {
  readonly #write: (line: string) => void;
  readonly #handle: Handle;
  readonly #underway = new Map<Id, { readonly over: AbortController; readonly done: Promise<void> }>();

  constructor(write: (line: string) => void, handle: Handle) {
    this.#write = write;
    this.#handle = handle;
  }

  line(text: string): void {
    if (text.trim() === '') return;
    if (text.length > line_chars_max)
      return this.refuse(null, rpc.invalid, `a message has at most ${line_chars_max} characters`);
    let message: unknown;
    try {
      message = JSON.parse(text);
    } catch {
      return this.refuse(null, rpc.parse, 'this is no JSON');
    }
    if (!isObject(message)) return this.refuse(null, rpc.invalid, 'a message is an object; batches are not taken');
    const { jsonrpc, id, method, params = {} } = message;
    const known = isId(id) ? id : null;
    // What the client answers: nothing was asked.
    if (method === undefined && ('result' in message || 'error' in message)) return;
    if (jsonrpc !== '2.0' || typeof method !== 'string' || !isObject(params) || ('id' in message && known === null))
      return this.refuse(known, rpc.invalid, 'this is no request of JSON-RPC 2.0');
    if (known === null) return this.#told(method, params);
    if (this.#underway.has(known)) return this.refuse(known, rpc.invalid, 'a request with this id is still open');
    if (this.#underway.size >= requests_max)
      return this.refuse(known, rpc.internal, 'too many requests are open: wait for some of them');
    this.#ask(known, method, params);
  }

  refuse(id: Id | null, code: number, message: string): void {
    this.#say({ id, error: { code, message } });
  }

  async end(): Promise<void> {
    for (const { over } of this.#underway.values()) over.abort();
    await Promise.all([...this.#underway.values()].map(({ done }) => done));
  }

  #told(method: string, { requestId }: Json): void {
    if (method === 'notifications/cancelled' && isId(requestId)) this.#underway.get(requestId)?.over.abort();
  }

  #ask(id: Id, method: string, params: Json): void {
    const over = new AbortController();
    const { progressToken } = isObject(params['_meta']) ? params['_meta'] : {};
    let progress = 0;
    const tell = (message: string): boolean => {
      if (!isId(progressToken) || over.signal.aborted) return false;
      progress += 1;
      this.#say({ method: 'notifications/progress', params: { progressToken, progress, message } });
      return true;
    };
    const done = this.#handle(method, params, { signal: over.signal, tell })
      .then(
        // Of what was taken back nobody wants an answer.
        (result) => over.signal.aborted || this.#say({ id, result }),
        (error: unknown) => {
          if (over.signal.aborted) return;
          if (error instanceof RpcError) return this.refuse(id, error.code, error.message);
          this.refuse(id, rpc.internal, 'something went wrong in sallyport mcp');
        },
      )
      .then(() => void this.#underway.delete(id));
    this.#underway.set(id, { over, done });
  }

  #say(message: Json): true {
    this.#write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    return true;
  }
}

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isId = (value: unknown): value is Id =>
  (typeof value === 'string' && value.length <= 256) || Number.isSafeInteger(value);
