import { request } from 'node:https';

/** One request to a gateway's HTTPS listener, with any headers that a caller may invent. */
export interface Sent {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly bytes: Buffer;
  json<T = Record<string, unknown>>(): T;
}

export interface Send {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string and bytes as they stand. */
  readonly body?: unknown;
  /** The client's own: 127.0.0.2 and so on, for those that the gateway shall take for different ones. */
  readonly localAddress?: string;
}

/** `cert` and `key`: what the client shows of itself, PEM. */
export function caller(base: { host: string; port: number; ca: string; cert?: string; key?: string }) {
  return (path: string, { method = 'GET', headers = {}, body, localAddress }: Send = {}): Promise<Sent> =>
    new Promise((resolve, reject) => {
      const payload =
        body === undefined
          ? undefined
          : typeof body === 'string' || Buffer.isBuffer(body)
            ? body
            : JSON.stringify(body);
      const call = request(
        {
          ...base,
          ...(localAddress === undefined ? {} : { localAddress }),
          path,
          method,
          headers: {
            ...(payload === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(payload)) }),
            ...headers,
          },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const bytes = Buffer.concat(chunks);
            const text = bytes.toString('utf8');
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              bytes,
              json: <T>() => JSON.parse(text) as T,
            });
          });
        },
      );
      call.on('error', reject);
      call.end(payload);
    });
}
