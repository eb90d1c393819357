import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { IdentityError } from '../errors.js';
import type { Client, Identity, Services } from '../protocol.js';
import { certificateOf } from './certificate.js';
import { letIn } from './doorway.js';
import { RequestRefusal } from './refusal.js';
import { takeToken, type Presented } from './token.js';

/** Who asks, and with what: a token in its field, or a certificate alone, under a name that stands in no field. */
export interface SignedIn extends Presented {
  readonly identity: Identity;
}

const tokenFields = ['x-sallyport-token', 'proxy-authorization', 'authorization'];
/** Browsers send one of these with whatever a page asks for elsewhere (Fetch, 3.1; Fetch Metadata, 2). */
const browserFields = ['origin', 'sec-fetch-site'];

/** @throws IdentityError, also where certificate and token do not belong together; RequestRefusal where too many are in already */
export async function signIn(
  services: Pick<Services, 'identify'>,
  fields: ReadonlyMap<string, string>,
  socket: Socket,
  client: Client,
): Promise<SignedIn> {
  const signedIn = await identified(services, fields, socket, client);
  const full = letIn(socket, signedIn.identity.principal);
  if (full !== undefined) throw new RequestRefusal(503, 'too_many_connections', full);
  return signedIn;
}

async function identified(
  services: Pick<Services, 'identify'>,
  fields: ReadonlyMap<string, string>,
  socket: Socket,
  client: Client,
): Promise<SignedIn> {
  const certificate = certificateOf(socket);
  if (certificate === undefined || tokenFields.some((name) => fields.has(name))) {
    const presented = takeToken(fields);
    return { ...presented, identity: await services.identify(presented.token, client, certificate) };
  }
  // A browser shows its certificate for whatever page asks, as it does with cookies: a token would have to be known.
  if (browserFields.some((name) => fields.has(name)))
    throw new IdentityError('browser', 'a certificate alone signs nobody in for a web page: send a token as well');
  const identity = await services.identify(undefined, client, certificate);
  return {
    token: `certificate ${createHash('sha256').update(certificate.der).digest('base64url')}`,
    field: '',
    identity,
  };
}
