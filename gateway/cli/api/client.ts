import { readFile, stat } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request, type RequestOptions } from 'node:https';
import { PassThrough, type Readable } from 'node:stream';
import { ConfigError, UpstreamError } from '../../errors.js';
import { printableLine } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { gatewayAddress, type GatewayFlags, type GatewayPlace } from './address.js';

/** A running gateway's API, as commands ask it. */
export interface ApiClient {
  /** The answer's JSON. Rejects with Refused where the gateway says no, and with Unreachable where it says nothing. */
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  /** An answer that is no JSON, as it comes. Rejects as `get` does; where it breaks off, its reader is told by an Unreachable. */
  content(path: string): Promise<{ readonly content: Readable; readonly headers: IncomingMessage['headers'] }>;
  /** Events (docs/api.md) as they come, until the gateway ends the stream. */
  events(onOpen?: () => void): AsyncGenerator<{ readonly type: string; readonly id: string }, void, undefined>;
}

/** The gateway's own no: the exit code is 1. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** No answer that could be understood: the exit code is 3. */
export class Unreachable extends UpstreamError {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
  }
}

const answer_bytes_max = 64 * 1024 * 1024;
const answer_ms_max = 30_000;
const token_bytes_max = 16_384;
/** The gateway sends something every 15 seconds: silence for so long is a lost connection. */
const silence_ms_max = 45_000;

export async function openApi(flags: GatewayFlags, around: Surroundings): Promise<ApiClient> {
  const place = await gatewayAddress(flags, around);
  return apiAt(place, await tokenFor(place, flags, around));
}

/** Whoever asks without a token is told what is public. */
export function apiAt({ url, ca }: GatewayPlace, token?: string): ApiClient {
  const options = (method: string, path: string, more: Record<string, string> = {}): [URL, RequestOptions] => [
    new URL(path, url),
    {
      method,
      // A command asks little and ends: no connection is kept for later.
      agent: false,
      ...(ca === undefined ? {} : { ca }),
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        'sallyport-client': 'cli',
        accept: 'application/json',
        ...more,
      },
    },
  ];
  const send = (method: string, path: string, body?: unknown): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const type = text === undefined ? undefined : { 'content-type': 'application/json' };
      const call = request(...options(method, path, type), resolve);
      call.setTimeout(method === 'GET' && path === '/v1/events' ? silence_ms_max : answer_ms_max, () =>
        call.destroy(new Error('it does not answer')),
      );
      call.on('error', (error) => reject(unreachable(url, error)));
      call.end(text);
    });
  const json = async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const response = await send(method, path, body);
    const text = await read(response, url);
    if (response.statusCode !== undefined && response.statusCode < 300) return parse(text, url) as T;
    throw refused(response.statusCode ?? 0, text);
  };
  return {
    get: (path) => json('GET', path),
    post: (path, body) => json('POST', path, body),
    async content(path) {
      const response = await send('GET', path);
      if (response.statusCode !== 200) throw refused(response.statusCode ?? 0, await read(response, url));
      const content = new PassThrough();
      response.once('error', (error) => content.destroy(unreachable(url, error)));
      response.pipe(content);
      return { content, headers: response.headers };
    },
    async *events(onOpen) {
      const response = await send('GET', '/v1/events');
      if (response.statusCode !== 200) throw refused(response.statusCode ?? 0, await read(response, url));
      onOpen?.();
      yield* eventsOf(response);
    },
  };
}

/** Who asks: as they say in a file or the environment, else as whom they signed in at this gateway. */
export async function tokenFor(place: GatewayPlace, flags: GatewayFlags, around: Surroundings): Promise<string> {
  const said = flags.tokenFile ?? (around.env['SALLYPORT_TOKEN_FILE'] || around.env['SALLYPORT_TOKEN']);
  if (said !== undefined && said.trim() !== '') return readToken(flags.tokenFile, around);
  const { currentToken } = await import('../login/current.js');
  const kept = await currentToken(place.url, around);
  if (kept !== undefined) return kept.token;
  throw new ConfigError(
    `who asks is not known: sign in with \`sallyport login\`, or give a token in SALLYPORT_TOKEN, or a file with --token-file`,
  );
}

/** Who asks: from a file, or the environment; never from the command line, where others on the machine could read it. */
export async function readToken(file: string | undefined, { env }: Surroundings): Promise<string> {
  const named = file ?? env['SALLYPORT_TOKEN_FILE'];
  if (named === undefined || named === '') {
    const token = env['SALLYPORT_TOKEN']?.trim() ?? '';
    if (token === '')
      throw new ConfigError('who asks is not known: give a token in SALLYPORT_TOKEN, or a file with --token-file');
    return checked(token, 'SALLYPORT_TOKEN');
  }
  try {
    if ((await stat(named)).size > token_bytes_max) throw new Error('it is too large to be one');
    return checked((await readFile(named, 'utf8')).trim(), named);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`the token cannot be read from ${named}: ${(error as Error).message}`, { cause: error });
  }
}

function checked(token: string, from: string): string {
  if (!/^[\x21-\x7e]+$/u.test(token)) throw new ConfigError(`what ${from} holds is no token`);
  return token;
}

async function read(response: IncomingMessage, url: string): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > answer_bytes_max) throw new Error('its answer is too large');
      chunks.push(chunk);
    }
  } catch (error) {
    throw unreachable(url, error as Error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string, url: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Unreachable(`what answers at ${url} is no Sallyport gateway: it sent no JSON`, error);
  }
}

/** RFC 9457, as docs/api.md has it; each with what can be done about it, where somebody can. */
function refused(status: number, text: string): Refused {
  let problem: { code?: unknown; detail?: unknown } = {};
  try {
    problem = JSON.parse(text) as typeof problem;
  } catch {
    // A proxy in between answers in its own words, which nobody has to trust.
  }
  const code = typeof problem.code === 'string' ? problem.code : `http_${String(status)}`;
  const detail = typeof problem.detail === 'string' ? problem.detail : `it answered with status ${String(status)}`;
  const advice = adviceFor(status, code, detail);
  return new Refused(status, code, `${printableLine(detail)}${advice === undefined ? '' : `. ${advice}`}`);
}

function adviceFor(status: number, code: string, detail: string): string | undefined {
  if (status === 401) return 'Get a new token: `sallyport login`, or put one into SALLYPORT_TOKEN';
  switch (code) {
    case 'unknown':
      if (/\brecord/u.test(detail)) return undefined;
      return '`sallyport approvals list --status all` and `sallyport approvals grants` show what there is for you';
    case 'ended':
    case 'answered_already':
      return '`sallyport approvals show` says by whom';
    case 'needs_comment':
      return 'Say why with --comment';
    case 'own_request':
      return 'Somebody else has to answer it; where policy allows an emergency, --break-glass with --comment';
    default:
      return status === 503 ? 'Try again in a moment' : undefined;
  }
}

function unreachable(url: string, error: Error): Unreachable {
  const { code = '' } = error as NodeJS.ErrnoException;
  const certificate = /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED|UNABLE_TO_|CERT_|ERR_TLS_CERT)/u.test(code);
  const why = certificate
    ? `its certificate is not trusted (${code}). Name the file that vouches for it with --ca or SALLYPORT_CA: a gateway that made its own keeps it as https.pem in its state directory`
    : code === 'ECONNREFUSED'
      ? 'nothing listens there. Does it run, with listen.https?'
      : error.message;
  return new Unreachable(`the gateway at ${url} cannot be asked: ${why}`, error);
}

/** WHATWG HTML, 9.2.6, as far as the gateway uses it: `event`, one line of `data`, and comments. */
async function* eventsOf(response: IncomingMessage): AsyncGenerator<{ type: string; id: string }, void, undefined> {
  response.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      rest += chunk;
      const blocks = rest.split('\n\n');
      rest = blocks.pop() ?? '';
      if (rest.length > token_bytes_max) return;
      for (const block of blocks) {
        const type = /^event: (.+)$/mu.exec(block)?.[1];
        const data = /^data: (.+)$/mu.exec(block)?.[1];
        if (type !== undefined && data !== undefined) yield { type, id: (JSON.parse(data) as { id: string }).id };
      }
    }
  } catch {
    // Cut off is ended: who watches is told that it is over, either way.
  }
}
