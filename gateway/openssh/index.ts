export {
  certificateLine,
  certificateType,
  parseCertificate,
  signedCertificate,
  unsignedCertificate,
  type Certificate,
  type CertificateBody,
} from './certificate.js';
export {
  blobOfJwk,
  ed25519,
  ed25519Signature,
  jwkOfBlob,
  privateKeyFile,
  publicKeyOf,
  readPublicKey,
  signatureOf,
  verifies,
} from './keys.js';
export { string, uint32, WireReader } from './wire.js';
