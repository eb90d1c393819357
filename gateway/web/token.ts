import { IdentityError } from '../errors.js';

/** The client's token, and the field that it came in. */
export interface Presented {
  readonly token: string;
  readonly field: string;
}

const token_chars_max = 16_384;

/**
 * Where a token may stand, first come first served: in a field of the gateway's own, for clients whose Authorization is the
 * upstream's; else as a bearer token (RFC 6750) or as the password of Basic (RFC 7617), for those that know only that.
 */
export function takeToken(fields: ReadonlyMap<string, string>): Presented {
  const own = fields.get('x-sallyport-token');
  if (own !== undefined) return { token: checked(own), field: 'x-sallyport-token' };
  for (const field of ['proxy-authorization', 'authorization']) {
    const value = fields.get(field);
    if (value !== undefined) return { token: checked(inside(value)), field };
  }
  throw new IdentityError('no_token', 'nobody is signed in: send the token as "Authorization: Bearer …"');
}

function inside(value: string): string {
  const [, scheme = '', rest = ''] = /^([A-Za-z]+) +([^\s]+) *$/.exec(value) ?? [];
  switch (scheme.toLowerCase()) {
    case 'bearer':
      return rest;
    case 'basic': {
      const text = Buffer.from(rest, 'base64').toString('utf8');
      return text.slice(text.indexOf(':') + 1);
    }
    default:
      throw new IdentityError(
        'scheme',
        'send the token as "Authorization: Bearer …", or as X-Sallyport-Token where Authorization is for the upstream',
      );
  }
}

function checked(token: string): string {
  if (token === '') throw new IdentityError('missing', 'the token is empty');
  if (token.length > token_chars_max) throw new IdentityError('too_long', 'the token is too long');
  return token;
}
