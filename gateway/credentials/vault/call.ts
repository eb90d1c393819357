import { request as requestInClear } from 'node:http';
import { request } from 'node:https';
import type { VaultConfig } from '../../config/index.js';
import { NotGiven } from '../place.js';

/** One question to Vault's HTTP API (https://developer.hashicorp.com/vault/api-docs), without the "/v1/" of its path. */
export interface Question {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly token?: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

export interface Answer {
  readonly status: number;
  /** An empty object where it was none. What stands in "errors" may quote what was sent: it is shown to nobody. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** @throws NotGiven where there is no answer, or one that says that Vault cannot answer now */
export type Call = (question: Question) => Promise<Answer>;

const answer_ms_max = 5_000;
const answer_bytes_max = 1_048_576;

export function vaultCall({ address, namespace, ca, serverName }: VaultConfig): Call {
  const send = address.startsWith('https:') ? request : requestInClear;
  return ({ method, path, token, body }) =>
    new Promise((resolve, reject) => {
      const fail = (error: NodeJS.ErrnoException) =>
        reject(new NotGiven(`Vault at ${address} cannot be reached (${codeOf(error)})`, { cause: error }));
      const text = body === undefined ? undefined : JSON.stringify(body);
      const asked = send(
        `${address}/v1/${path}`,
        {
          method,
          headers: {
            'x-vault-request': 'true',
            ...(token === undefined ? {} : { 'x-vault-token': token }),
            ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
            ...(text === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
          },
          // A connection of its own each time: one that is kept may have been closed by the other side.
          agent: false,
          signal: AbortSignal.timeout(answer_ms_max),
          minVersion: 'TLSv1.2',
          ...(ca === undefined ? {} : { ca }),
          ...(serverName === undefined ? {} : { servername: serverName }),
        },
        (response) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          response.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes > answer_bytes_max) response.destroy(new Error('the answer is too long'));
            else chunks.push(chunk);
          });
          response.on('error', fail);
          response.on('end', () => {
            const status = response.statusCode ?? 0;
            // Redirects are not followed: the token is for this address alone.
            if (status >= 300 && status !== 400 && status !== 403 && status !== 404)
              return reject(new NotGiven(`Vault at ${address} ${whyNot(status)}`));
            resolve({ status, body: objectOf(Buffer.concat(chunks).toString('utf8')) });
          });
        },
      );
      asked.on('error', fail);
      asked.end(text);
    });
}

const codeOf = ({ name, code }: NodeJS.ErrnoException): string =>
  name === 'TimeoutError' || code === 'ABORT_ERR' ? 'timeout' : (code ?? name);

/** @see https://developer.hashicorp.com/vault/api-docs#http-status-codes */
function whyNot(status: number): string {
  if (status === 503) return 'is sealed, or under maintenance';
  if (status === 429 || status === 472 || status === 473) return 'is not active, or limits how often it is asked';
  return `answers with status ${status}`;
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return mapping(JSON.parse(text)) ?? {};
  } catch {
    return {};
  }
}

/** Undefined for what is no JSON object. */
export const mapping = (value: unknown): Readonly<Record<string, unknown>> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;

export const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** Seconds, as Vault counts them; 0 for what is no number. */
export const secondsOf = (value: unknown): number => (typeof value === 'number' && value > 0 ? value : 0);
