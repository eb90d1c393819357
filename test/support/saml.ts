import { generateKeyPairSync, randomUUID, type KeyObject } from 'node:crypto';
import { createRequire } from 'node:module';
import { createAuthority } from './certificates.js';

/** As much of xml-crypto as is used: its types are a browser's. */
interface XmlCrypto {
  readonly SignedXml: new (options: object) => {
    addReference(reference: object): void;
    computeSignature(xml: string, options: object): void;
    getSignedXml(): string;
  };
}
const { SignedXml } = createRequire(import.meta.url)('xml-crypto') as XmlCrypto;

/** A SAML 2.0 identity provider for tests: it signs responses and assertions of any shape. */
export interface SamlIssuer {
  readonly issuer: string;
  /** PEM. */
  readonly certificate: string;
  assertion(options?: AssertionOptions): string;
  response(assertion: string, options?: ResponseOptions): string;
  /** Signs the element of that ID. */
  sign(xml: string, id: string, how?: Signing): string;
}

export interface AssertionOptions {
  readonly id?: string;
  readonly issuer?: string;
  /** Markup, put in as it is. */
  readonly nameId?: string;
  readonly audience?: string | undefined;
  readonly recipient?: string;
  readonly confirmation?: string;
  /** Seconds from now. */
  readonly issuedIn?: number;
  readonly notBeforeIn?: number;
  readonly expiresIn?: number;
  readonly sessionIn?: number | undefined;
  readonly method?: string;
  readonly conditions?: string;
  readonly attributes?: Readonly<Record<string, readonly string[]>>;
  readonly signed?: boolean;
  readonly how?: Signing;
}

export interface ResponseOptions {
  readonly id?: string;
  readonly destination?: string | undefined;
  readonly extra?: string;
  readonly inResponseTo?: string;
  readonly signed?: boolean;
}

export interface Signing {
  readonly key?: KeyObject;
  readonly signature?: string;
  readonly digest?: string;
}

const saml = 'urn:oasis:names:tc:SAML:2.0:assertion';
export const acs = 'https://gateway.example/v1/saml/acs';

export function createSamlIssuer(
  issuer = 'https://idp.example/saml',
  audience = 'https://gateway.example',
): SamlIssuer {
  const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { privateKey } = keys;
  const certificate = createAuthority().issue({ names: ['idp.example'], keys }).certificate;
  const at = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();

  const sign = (xml: string, id: string, { key = privateKey, signature, digest }: Signing = {}): string => {
    const signer = new SignedXml({
      privateKey: key.export({ type: 'pkcs8', format: 'pem' }),
      signatureAlgorithm: signature ?? 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
      canonicalizationAlgorithm: 'http://www.w3.org/2001/10/xml-exc-c14n#',
    });
    const xpath = `//*[@ID='${id}']`;
    signer.addReference({
      xpath,
      transforms: ['http://www.w3.org/2000/09/xmldsig#enveloped-signature', 'http://www.w3.org/2001/10/xml-exc-c14n#'],
      digestAlgorithm: digest ?? 'http://www.w3.org/2001/04/xmlenc#sha256',
    });
    signer.computeSignature(xml, { location: { reference: `${xpath}/*[local-name()='Issuer']`, action: 'after' } });
    return signer.getSignedXml();
  };

  const confirmationOf = (options: AssertionOptions) =>
    options.confirmation ??
    `<SubjectConfirmation Method="${options.method ?? 'urn:oasis:names:tc:SAML:2.0:cm:bearer'}"><SubjectConfirmationData Recipient="${options.recipient ?? acs}" NotOnOrAfter="${at(options.expiresIn ?? 300)}"/></SubjectConfirmation>`;

  const conditionsOf = (options: AssertionOptions) => {
    const restricted = 'audience' in options ? options.audience : audience;
    const restriction =
      restricted === undefined ? '' : `<AudienceRestriction><Audience>${restricted}</Audience></AudienceRestriction>`;
    return `<Conditions NotBefore="${at(options.notBeforeIn ?? -5)}" NotOnOrAfter="${at(options.expiresIn ?? 300)}">${restriction}${options.conditions ?? ''}</Conditions>`;
  };

  return {
    issuer,
    certificate,
    sign,
    assertion(options = {}) {
      const id = options.id ?? `_${randomUUID()}`;
      const session = options.sessionIn === undefined ? '' : ` SessionNotOnOrAfter="${at(options.sessionIn)}"`;
      const attributes = Object.entries(options.attributes ?? {}).map(
        ([name, values]) =>
          `<Attribute Name="${name}">${values.map((value) => `<AttributeValue>${value}</AttributeValue>`).join('')}</Attribute>`,
      );
      const xml = [
        `<Assertion xmlns="${saml}" ID="${id}" Version="2.0" IssueInstant="${at(options.issuedIn ?? 0)}">`,
        `<Issuer>${options.issuer ?? issuer}</Issuer>`,
        `<Subject><NameID>${options.nameId ?? 'ada@example.com'}</NameID>${confirmationOf(options)}</Subject>`,
        conditionsOf(options),
        `<AuthnStatement AuthnInstant="${at(0)}"${session}><AuthnContext/></AuthnStatement>`,
        attributes.length === 0 ? '' : `<AttributeStatement>${attributes.join('')}</AttributeStatement>`,
        '</Assertion>',
      ].join('');
      return options.signed === false ? xml : sign(xml, id, options.how);
    },
    response(assertion, options = {}) {
      const id = options.id ?? `_${randomUUID()}`;
      const destination = 'destination' in options ? options.destination : acs;
      const said = [
        destination === undefined ? '' : ` Destination="${destination}"`,
        options.inResponseTo === undefined ? '' : ` InResponseTo="${options.inResponseTo}"`,
      ].join('');
      const xml = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="${id}" Version="2.0" IssueInstant="${at(0)}"${said}><Issuer xmlns="${saml}">${issuer}</Issuer>${options.extra ?? ''}<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>${assertion}</samlp:Response>`;
      return options.signed === true ? sign(xml, id) : xml;
    },
  };
}

export const encoded = (xml: string): string => Buffer.from(xml).toString('base64');
