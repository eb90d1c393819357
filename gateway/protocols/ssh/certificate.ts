import type { PublicKeyAuthContext } from 'ssh2';
import { IdentityError } from '../../errors.js';
import { certificateType, parseCertificate, verifies } from '../../openssh/index.js';
import type { Client, Identity, Services } from '../../protocol.js';

/**
 * Signing in with a certificate. The library knows nothing of certificates: it hands over what was signed, and the signature, and
 * checks neither.
 *
 * @see RFC 4252, section 7
 */

/** Whether what is shown is a certificate, and not a key: nobody's keys are known here. */
export const showsCertificate = ({ key }: PublicKeyAuthContext): boolean => key.algo === certificateType;

/** Rejects with IdentityError. Where nothing was signed yet, the answer only says whether it is worth signing. */
export async function certified(context: PublicKeyAuthContext, services: Services, client: Client): Promise<Identity> {
  const { key, signature, blob, username } = context;
  if (services.certified === undefined) throw new IdentityError('missing', 'certificates are not taken here');
  const identity = await services.certified(key.data, username, client);
  if (signature === undefined) return identity;
  const { keyBlob } = parseCertificate(key.data);
  if (blob === undefined || !verifies(keyBlob, blob, signature))
    throw new IdentityError('possession', 'the key of the certificate is not held by whoever shows it');
  return identity;
}
