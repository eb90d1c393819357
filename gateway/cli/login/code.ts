import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as oidc from 'openid-client';
import type { LoginConfig } from '../../config/index.js';
import { UpstreamError } from '../../errors.js';
import type { Surroundings } from '../surroundings.js';
import { browse } from './browser.js';
import { asked, reasonOf, type Tokens } from './provider.js';

/**
 * The authorization code grant with PKCE (RFC 7636), come back to over loopback (RFC 8252, 7.3). Whatever else asks at the
 * port is answered and changes nothing: only what carries our state ends the sign-in, and it ends it once.
 */

const sign_in_ms_max = 300_000;
const path = '/callback';

export interface CodeOptions {
  /** 0: any. Some providers take one port alone. */
  readonly port: number;
}

/** Rejects with UpstreamError where nobody signs in. */
export async function byCode(
  config: oidc.Configuration,
  login: LoginConfig,
  { port }: CodeOptions,
  around: Surroundings,
): Promise<Tokens> {
  const server = createServer({ maxHeaderSize: 32_768, headersTimeout: 10_000, requestTimeout: 10_000 });
  const redirect = await listening(server, port);
  const verifier = oidc.randomPKCECodeVerifier();
  const state = oidc.randomState();
  const nonce = login.scopes.includes('openid') ? oidc.randomNonce() : undefined;
  const page = oidc.buildAuthorizationUrl(config, {
    ...asked(login),
    redirect_uri: redirect.href,
    state,
    ...(nonce === undefined ? {} : { nonce }),
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  try {
    const back = comingBack(server, redirect, state);
    if (!(around.browse ?? browse)(page.href)) around.stderr.write(`Open this page to sign in:\n${page.href}\n`);
    const { url, answer } = await back;
    try {
      const tokens = await oidc.authorizationCodeGrant(config, url, {
        expectedState: state,
        ...(nonce === undefined ? {} : { expectedNonce: nonce }),
        pkceCodeVerifier: verifier,
        idTokenExpected: nonce !== undefined,
      });
      answer(200, 'You are signed in. This page can be closed.');
      return tokens;
    } catch (error) {
      answer(400, 'Nobody was signed in. What went wrong stands in the terminal.');
      throw new UpstreamError(`nobody was signed in: ${reasonOf(error)}`, { cause: error });
    }
  } finally {
    server.closeIdleConnections();
    server.close();
  }
}

async function listening(server: Server, port: number): Promise<URL> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new UpstreamError(`nobody can come back to port ${port} of this machine: ${error.message}`, { cause: error }),
      ),
    );
    server.listen(port, '127.0.0.1', resolve);
  });
  return new URL(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}${path}`);
}

interface Back {
  readonly url: URL;
  readonly answer: (status: number, text: string) => void;
}

/** The first request that carries our state. A name that merely leads to this machine is not it (DNS rebinding). */
function comingBack(server: Server, redirect: URL, state: string): Promise<Back> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new UpstreamError('nobody was signed in: it took too long')), sign_in_ms_max);
    server.once('close', () => clearTimeout(timer));
    let ended = false;
    server.on('request', (request, response) => {
      const answer = (status: number, text: string) => answered(response, status, text);
      const url = URL.canParse(request.url ?? '', redirect.href) ? new URL(request.url ?? '', redirect) : undefined;
      if (request.headers.host !== redirect.host || url?.origin !== redirect.origin || url.pathname !== path)
        return answer(404, 'There is nothing here.');
      if (request.method !== 'GET') return answer(405, 'Nothing is sent here.');
      const states = url.searchParams.getAll('state');
      if (ended || states.length !== 1 || states[0] !== state)
        return answer(400, 'This belongs to another sign-in: begin again in the terminal.');
      ended = true;
      clearTimeout(timer);
      return resolve({ url, answer });
    });
  });
}

function answered(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    connection: 'close',
  });
  response.end(`${text}\n`);
}
