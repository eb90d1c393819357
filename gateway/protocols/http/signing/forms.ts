import { createPrivateKey } from 'node:crypto';
import Type from 'typebox';
import { ConfigError } from '../../../errors.js';
import type { AwsKey } from './sigv4.js';

/** Credentials that are made anew: tokens that somebody hands out for a while, and signatures of each request. */
export type Signing = { readonly aws: AwsKey } | { readonly token: TokenForm };

export type TokenForm =
  | {
      readonly from: 'oauth';
      readonly url: string;
      readonly client_id: string;
      readonly client_secret: string;
      readonly scope?: string;
      readonly audience?: string;
    }
  | {
      readonly from: 'google';
      readonly url: string;
      readonly email: string;
      readonly key: string;
      readonly scope: string;
    }
  | { readonly from: 'metadata'; readonly url: string };

/** What the file says, secrets resolved. */
export type SigningForm =
  | {
      readonly oauth: {
        readonly token_url: string;
        readonly client_id: string;
        readonly client_secret: string;
        readonly scope?: string;
        readonly audience?: string;
      };
    }
  | { readonly aws: AwsKey }
  | { readonly google: { readonly service_account: string; readonly scope?: string } }
  | {
      readonly azure:
        | {
            readonly tenant_id: string;
            readonly client_id: string;
            readonly client_secret: string;
            readonly scope: string;
            readonly authority?: string;
          }
        | { readonly managed_identity: string; readonly client_id?: string; readonly endpoint?: string };
    };

const closed = { additionalProperties: false } as const;
const text = Type.String({ minLength: 1 });
const loopback = '127\\.[0-9.]+|localhost|\\[::1\\]';
const place_pattern = `^(https://|http://(${loopback})([:/]|$))[^\\s?#@]*$`;
const url = Type.String({
  pattern: place_pattern,
  'x-problem': 'must be an https:// URL (http:// on loopback only), without user, query and fragment',
});
const google_scope = 'https://www.googleapis.com/auth/cloud-platform';
const microsoft = 'https://login.microsoftonline.com';
const metadata = 'http://169.254.169.254/metadata/identity/oauth2/token';

/** @param secret The schema of a secret: a text, or where it is read from. */
export const signingSchemas = <Secret extends Type.TSchema>(secret: Secret) => [
  Type.Object(
    {
      oauth: Type.Object(
        {
          token_url: url,
          client_id: text,
          client_secret: secret,
          scope: Type.Optional(text),
          audience: Type.Optional(text),
        },
        closed,
      ),
    },
    { ...closed, title: '{oauth: {token_url: …, client_id: …, client_secret: …}}' },
  ),
  Type.Object(
    {
      aws: Type.Object(
        {
          region: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
          service: Type.String({ pattern: '^[a-z0-9-]{1,64}$' }),
          access_key_id: secret,
          secret_access_key: secret,
          session_token: Type.Optional(secret),
        },
        closed,
      ),
    },
    { ...closed, title: '{aws: {region: …, service: …, access_key_id: …, secret_access_key: …}}' },
  ),
  Type.Object(
    { google: Type.Object({ service_account: secret, scope: Type.Optional(text) }, closed) },
    { ...closed, title: '{google: {service_account: {file: …}}}' },
  ),
  Type.Object(
    {
      azure: Type.Union([
        Type.Object(
          {
            tenant_id: Type.String({ pattern: '^[A-Za-z0-9.-]{1,128}$' }),
            client_id: text,
            client_secret: secret,
            scope: text,
            authority: Type.Optional(url),
          },
          { ...closed, title: '{tenant_id: …, client_id: …, client_secret: …, scope: …}' },
        ),
        Type.Object(
          {
            managed_identity: Type.String({ minLength: 1, description: 'The resource that the token is for.' }),
            client_id: Type.Optional(text),
            endpoint: Type.Optional(
              Type.String({
                pattern: `^http://(${loopback}|169\\.254\\.169\\.254)([:/]|$)[^\\s?#@]*$`,
                'x-problem': 'must be an http:// URL on loopback or at 169.254.169.254',
              }),
            ),
          },
          { ...closed, title: '{managed_identity: RESOURCE}' },
        ),
      ]),
    },
    { ...closed, title: '{azure: …}' },
  ),
];

export const isSigningForm = (form: object): form is SigningForm =>
  'oauth' in form || 'aws' in form || 'google' in form || 'azure' in form;

/** Throws ConfigError for what could never be signed with. */
export function readSigning(form: SigningForm): Signing {
  if ('aws' in form) {
    const { access_key_id: id, session_token: token = 'x' } = form.aws;
    if (!/^[A-Za-z0-9_]{1,128}$/.test(id))
      throw new ConfigError('credential.aws.access_key_id is no id of an access key');
    if (!/^[\x21-\x7e]+$/.test(token))
      throw new ConfigError('credential.aws.session_token fits into no field of a request');
    return { aws: form.aws };
  }
  if ('oauth' in form) {
    const { token_url, ...rest } = form.oauth;
    return { token: { from: 'oauth', url: token_url, ...rest } };
  }
  if ('google' in form) return { token: readServiceAccount(form.google) };
  const { azure } = form;
  if ('tenant_id' in azure) {
    const { tenant_id: tenant, authority = microsoft, ...rest } = azure;
    return { token: { from: 'oauth', url: `${authority.replace(/\/+$/, '')}/${tenant}/oauth2/v2.0/token`, ...rest } };
  }
  const asked = new URLSearchParams({ 'api-version': '2018-02-01', resource: azure.managed_identity });
  if (azure.client_id !== undefined) asked.set('client_id', azure.client_id);
  return { token: { from: 'metadata', url: `${azure.endpoint ?? metadata}?${asked.toString()}` } };
}

/** The JSON file that Google hands out for a service account. */
function readServiceAccount({
  service_account: json,
  scope = google_scope,
}: {
  service_account: string;
  scope?: string;
}): TokenForm {
  const what = 'credential.google.service_account';
  let account: Readonly<Record<string, unknown>>;
  try {
    account = JSON.parse(json) as Record<string, unknown>;
  } catch (error) {
    throw new ConfigError(`${what} is no JSON: give it the file of a service account's key`, { cause: error });
  }
  const { client_email: email, private_key: key, token_uri: place } = account;
  if (typeof email !== 'string' || typeof key !== 'string' || typeof place !== 'string') {
    throw new ConfigError(`${what} needs client_email, private_key and token_uri`);
  }
  if (!new RegExp(place_pattern).test(place)) throw new ConfigError(`${what}: token_uri must be an https:// URL`);
  try {
    createPrivateKey(key);
  } catch (error) {
    throw new ConfigError(`${what}: private_key is no private key in PEM form`, { cause: error });
  }
  return { from: 'google', url: place, email, key, scope };
}
