import { createRequire } from 'node:module';
import type { SamlProvider } from '../../config/index.js';

/**
 * `@node-saml/node-saml`, as much of it as is used. Loaded when the first assertion comes: most gateways have no provider of
 * them, and its types would bring a browser's globals into the whole program.
 */
interface Library {
  readonly SAML: new (options: object) => {
    validatePostResponseAsync(form: { readonly SAMLResponse: string }): Promise<{
      readonly profile: { getAssertion?(): { readonly Assertion?: unknown } } | null;
    }>;
  };
}

const require = createRequire(import.meta.url);

export interface Signed {
  /** XML whose shape was checked. */
  readonly response: string;
  /** PEM; one of them has to be what it is signed with. */
  readonly certificates: readonly string[];
  readonly responseSigned: boolean;
  readonly provider: SamlProvider;
}

/** The assertion that is signed, read from the bytes that the signature is over. Rejects with the library's Error. */
export async function signedContent({ response, certificates, responseSigned, provider }: Signed): Promise<unknown> {
  const { SAML } = require('@node-saml/node-saml') as Library;
  const saml = new SAML({
    // Of requests, which are not sent.
    callbackUrl: 'https://gateway.invalid',
    issuer: provider.audience,
    audience: provider.audience,
    idpIssuer: provider.issuer,
    idpCert: [...certificates],
    wantAssertionsSigned: true,
    wantAuthnResponseSigned: responseSigned,
    validateInResponseTo: 'never',
    // Times are checked by the gateway's own clock.
    acceptedClockSkewMs: -1,
  });
  const { profile } = await saml.validatePostResponseAsync({ SAMLResponse: Buffer.from(response).toString('base64') });
  const assertion = profile?.getAssertion?.().Assertion;
  if (assertion === undefined) throw new Error('it has no assertion');
  return assertion;
}
