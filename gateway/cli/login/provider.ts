import { decodeJwt } from 'jose';
import * as oidc from 'openid-client';
import type { LoginConfig } from '../../config/index.js';
import { ConfigError, UpstreamError } from '../../errors.js';
import { printableLine } from '../printable.js';
import type { Kept } from './kept.js';

/** The identity provider, as `sallyport login` knows it: a public client (RFC 8252, 8.4), which has no secret to keep. */

const provider_s_max = 15;

export type Tokens = oidc.TokenEndpointResponse;

/** @throws UpstreamError where it cannot be asked. */
export async function discover({ issuer, client_id }: LoginConfig): Promise<oidc.Configuration> {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  const loopback = url !== undefined && /^(127(\.\d{1,3}){3}|localhost|\[::1\])$/u.test(url.hostname);
  if (url === undefined || (url.protocol !== 'https:' && !(url.protocol === 'http:' && loopback)))
    throw new ConfigError(`the issuer ${printableLine(issuer)} is not one to sign in at: it has to be https://`);
  try {
    return await oidc.discovery(url, client_id, undefined, oidc.None(), {
      timeout: provider_s_max,
      execute: url.protocol === 'http:' ? [oidc.allowInsecureRequests] : [],
    });
  } catch (error) {
    throw new UpstreamError(`${issuer} cannot be asked how to sign in: ${reasonOf(error)}`, { cause: error });
  }
}

/** What every request for a token says of it. */
export function asked({ scopes, audience }: LoginConfig): Record<string, string> {
  return { scope: scopes.join(' '), ...forWhom({ audience }) };
}

export const forWhom = ({ audience }: { readonly audience?: string | undefined }): Record<string, string> =>
  audience === undefined ? {} : { audience, ...(URL.canParse(audience) ? { resource: audience } : {}) };

/** What is kept of the provider's answer. @throws UpstreamError where there is no token for the gateway in it. */
export function keptOf(gateway: string, login: LoginConfig, tokens: Tokens, before?: Kept): Kept {
  const token = login.token === 'id' ? (tokens.id_token ?? before?.token) : tokens.access_token;
  const expires_ms = expiryOf(token);
  if (token === undefined || expires_ms === undefined)
    throw new UpstreamError(
      login.token === 'id'
        ? 'the provider gave no ID token: "openid" has to be among the scopes'
        : 'the provider gave an access token that is no JWT, which the gateway cannot check: name the API it is for (identity.login.audience), or take the ID token (identity.login.token: id)',
    );
  const refresh = tokens.refresh_token ?? before?.refresh;
  return { gateway, login, token, expires_ms, ...(refresh === undefined ? {} : { refresh }) };
}

function expiryOf(token: string | undefined): number | undefined {
  try {
    const { exp } = decodeJwt(token ?? '');
    return exp === undefined ? undefined : exp * 1000;
  } catch {
    return undefined;
  }
}

/** In the provider's own words, where it has some: they go to a terminal. */
export function reasonOf(error: unknown): string {
  if (error instanceof oidc.ResponseBodyError || error instanceof oidc.AuthorizationResponseError) {
    const { error: code, error_description: description } = error;
    return printableLine(description === undefined ? code : `${description} (${code})`).slice(0, 300);
  }
  const { message, cause } = error as Error;
  return printableLine(cause instanceof Error ? `${message}: ${cause.message}` : message).slice(0, 300);
}
