import { request as requestInClear } from 'node:http';
import { request } from 'node:https';

/** One POST. Redirects are not followed: where a message goes is said by the configuration, and by nobody who answers. */
export interface Message {
  readonly url: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeout_ms: number;
  /** PEM; absent: the authorities that Node.js trusts. */
  readonly ca?: string | undefined;
  /** Ends the attempt. */
  readonly signal?: AbortSignal;
}

/** Resolves with the status that came back; rejects with an Error whose message may be recorded. */
export type Post = (message: Message) => Promise<number>;

/** Of an answer nobody reads more than its status: a connection with more than this behind it is closed. */
const answer_bytes_max = 65_536;

export const post: Post = ({ url, body, headers, timeout_ms, ca, signal }) =>
  new Promise((resolve, reject) => {
    const { protocol } = new URL(url);
    const send = protocol === 'https:' ? request : requestInClear;
    const call = send(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': String(body.length), 'user-agent': 'sallyport' },
        // One connection each: none is kept for whoever answers slowly.
        agent: false,
        signal: AbortSignal.any([AbortSignal.timeout(timeout_ms), ...(signal === undefined ? [] : [signal])]),
        ...(ca === undefined ? {} : { ca }),
      },
      (response) => {
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > answer_bytes_max) response.destroy();
        });
        // What came after the status changes nothing.
        response.on('error', () => undefined);
        resolve(response.statusCode ?? 0);
      },
    );
    call.on('error', (error: NodeJS.ErrnoException) => reject(new Error(whyNot(error), { cause: error })));
    call.end(body);
  });

/** A code and no more: messages of the network name addresses. */
const whyNot = ({ name, code }: NodeJS.ErrnoException): string =>
  name === 'TimeoutError' || code === 'ABORT_ERR' ? 'timeout' : (code ?? name);
