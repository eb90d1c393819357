import { request as requestInClear } from 'node:http';
import { request } from 'node:https';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { NotDelivered } from './destination.js';

/** A place that takes JSON by POST. */
export interface Receiver {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM; absent: the authorities that Node.js trusts. */
  readonly ca?: string | undefined;
  readonly timeout_ms: number;
}

/** Of an answer so much is read. */
const answer_bytes_max = 65_536;
const zipped = promisify(gzip);

/**
 * Posts JSON, compressed (RFC 1952). Resolves with what was answered once the status says that it was taken. Redirects are not
 * followed: where records go is said by the configuration alone.
 *
 * @throws NotDelivered
 */
export async function postJson(to: Receiver, json: string, signal: AbortSignal): Promise<string> {
  const body = await zipped(json);
  const { status, retry_after, answer } = await exchange(to, body, signal);
  if (status >= 200 && status <= 299) return answer;
  throw new NotDelivered(`HTTP ${status}`, {
    refused: refusals.has(status),
    retry_after_ms: (retry_after ?? 0) * 1_000,
  });
}

/** Bad Request, Content Too Large, Unprocessable Content: it is what was sent. All else may pass (RFC 9110, 15.5). */
const refusals: ReadonlySet<number> = new Set([400, 413, 422]);

interface Answer {
  readonly status: number;
  readonly retry_after: number | undefined;
  readonly answer: string;
}

function exchange({ url, headers, ca, timeout_ms }: Receiver, body: Buffer, signal: AbortSignal): Promise<Answer> {
  const send = new URL(url).protocol === 'https:' ? request : requestInClear;
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(new NotDelivered(whyNot(error), { cause: error }));
    const call = send(
      url,
      {
        method: 'POST',
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-encoding': 'gzip',
          'content-length': String(body.length),
          'user-agent': 'sallyport',
        },
        // A connection of its own each time: one that is kept may have been closed by the other side.
        agent: false,
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeout_ms)]),
        ...(ca === undefined ? {} : { ca }),
      },
      (response) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
          if (bytes <= answer_bytes_max) pieces.push(piece);
          else response.destroy(new Error('the answer is too long'));
        });
        response.on('error', fail);
        response.on('end', () => {
          const seconds = response.headers['retry-after'];
          resolve({
            status: response.statusCode ?? 0,
            retry_after: /^[0-9]{1,6}$/u.test(seconds ?? '') ? Number(seconds) : undefined,
            answer: Buffer.concat(pieces).toString('utf8'),
          });
        });
      },
    );
    call.on('error', fail);
    call.end(body);
  });
}

/** A code and no more: messages of the network name addresses. */
const whyNot = ({ name, code }: NodeJS.ErrnoException): string =>
  name === 'TimeoutError' || code === 'ABORT_ERR' ? 'timeout' : (code ?? name);
