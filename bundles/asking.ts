import { type IncomingHttpHeaders, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/** One request over HTTP, of which the time and the size of its answer are bounded. */
export interface Asked {
  readonly method?: 'GET' | 'HEAD';
  readonly headers: Readonly<Record<string, string>>;
  /** Authorities in place of the system's, as PEM. */
  readonly ca?: string | undefined;
  readonly bytes_max: number;
  /** From the first byte that is sent to the last that comes, however they drip. */
  readonly time_ms_max: number;
  /** Ends it before. */
  readonly signal?: AbortSignal | undefined;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Redirects are not followed. Rejects where there is no answer, none in time, or too much of it. */
export function ask(
  url: string,
  { method = 'GET', headers, ca, bytes_max, time_ms_max, signal }: Asked,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const ending = AbortSignal.any([AbortSignal.timeout(time_ms_max), ...(signal ? [signal] : [])]);
    const options = {
      ...{ method, headers: { 'user-agent': 'sallyport', ...headers }, signal: ending },
      ...(ca === undefined ? {} : { ca }),
    };
    const asked = (/^https:/i.test(url) ? requestHttps : requestHttp)(url, options, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > bytes_max) response.destroy(new Error(`the answer has more than ${bytes_max} bytes`));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}
