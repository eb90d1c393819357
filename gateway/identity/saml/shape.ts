import { createRequire } from 'node:module';
import { IdentityError } from '../../errors.js';

/**
 * What a SAML document has to look like before any signature in it is looked at. Signature wrapping (Somorovsky et al., "On
 * Breaking SAML", XSW1 to XSW8) needs a second assertion or signature somewhere, comments and entities need readers that
 * disagree: a document that has any of them is refused, whatever is signed in it.
 */

export const document_bytes_max = 131_072;
const depth_max = 40;
const elements_max = 5_000;

const assertionNamespace = 'urn:oasis:names:tc:SAML:2.0:assertion';
const protocolNamespace = 'urn:oasis:names:tc:SAML:2.0:protocol';
const signatureNamespace = 'http://www.w3.org/2000/09/xmldsig#';

/** Of RFC 9231 and XML Signature 1.1; SHA-1 and HMAC are not among them. */
const algorithms: Readonly<Record<string, ReadonlySet<string>>> = {
  SignatureMethod: new Set([
    'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256',
    'http://www.w3.org/2001/04/xmldsig-more#rsa-sha512',
  ]),
  DigestMethod: new Set(['http://www.w3.org/2001/04/xmlenc#sha256', 'http://www.w3.org/2001/04/xmlenc#sha512']),
  CanonicalizationMethod: new Set(['http://www.w3.org/2001/10/xml-exc-c14n#']),
  Transform: new Set([
    'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
    'http://www.w3.org/2001/10/xml-exc-c14n#',
  ]),
};

/** As much of the DOM as is used here: its types would bring a browser's globals into the whole program. */
interface Node {
  readonly nodeType: number;
  readonly localName: string | null;
  readonly namespaceURI: string | null;
  readonly childNodes: { readonly length: number; item(index: number): Node };
  readonly documentElement?: Node | null;
  getAttribute(name: string): string | null;
  hasAttribute(name: string): boolean;
}
interface Xmldom {
  readonly DOMParser: new (options: object) => { parseFromString(xml: string, type: string): Node };
}
const elementType = 1;
const textType = 3;

export interface Shape {
  /** "Assertion" where one stands alone, as RFC 7522 sends them. */
  readonly root: 'Response' | 'Assertion';
  /** Whether the response has a signature of its own; its assertion always has one. */
  readonly responseSigned: boolean;
  readonly destination: string | undefined;
  readonly inResponseTo: string | undefined;
}

const refuse = (reason: string, message: string) => new IdentityError(reason, `the SAML assertion ${message}`);

/** @throws IdentityError for every document that is not exactly one response with one signed assertion, or that assertion. */
export function readShape(xml: string): Shape {
  if (Buffer.byteLength(xml) > document_bytes_max)
    throw refuse('too_long', `has more than ${document_bytes_max} bytes`);
  // Before it is parsed: what a parser makes of these is none of our business.
  if (/<!(?!\[CDATA\[)/u.test(xml)) throw refuse('malformed', 'has a DOCTYPE, an entity or a comment in it');
  if (/<\?(?!xml\s)/u.test(xml) || /.<\?xml/su.test(xml))
    throw refuse('malformed', 'has a processing instruction in it');
  if (xml.includes('<![CDATA[')) throw refuse('malformed', 'has a CDATA section in it');
  const root = parsed(xml).documentElement;
  if (root === null || root === undefined) throw refuse('malformed', 'is no XML');
  const isResponse = is(root, protocolNamespace, 'Response');
  if (!isResponse && !is(root, assertionNamespace, 'Assertion')) throw refuse('malformed', 'is no SAML 2.0 response');
  const elements = walk(root);
  const ids = elements.flatMap((element) => ['ID', 'Id', 'id'].map((name) => element.getAttribute(name) ?? ''));
  const given = ids.filter((id) => id !== '');
  if (new Set(given).size !== given.length) throw refuse('wrapped', 'has one ID twice');
  if (elements.some(({ localName }) => localName === 'EncryptedAssertion' || localName === 'EncryptedID'))
    throw refuse('encrypted', 'is encrypted: let the provider send it signed, over TLS');
  const assertions = elements.filter(({ localName }) => localName === 'Assertion');
  const [assertion] = assertions;
  const inPlace = isResponse ? childrenOf(root).filter((child) => is(child, assertionNamespace, 'Assertion')) : [root];
  if (assertion === undefined || assertions.length !== 1 || inPlace[0] !== assertion)
    throw refuse('wrapped', 'has to be the only one, right inside of its response');
  const responseSigned = isResponse && signaturesOf(root).length > 0;
  checkSignatures(elements, [assertion, ...(responseSigned ? [root] : [])]);
  const said = (name: string) => (root.hasAttribute(name) ? (root.getAttribute(name) ?? '') : undefined);
  return {
    root: isResponse ? 'Response' : 'Assertion',
    responseSigned,
    destination: said('Destination'),
    inResponseTo: said('InResponseTo'),
  };
}

/** One signature in each that has to be signed, over just that, and none anywhere else. */
function checkSignatures(elements: readonly Node[], signed: readonly Node[]): void {
  const signatures = elements.filter(({ localName }) => localName === 'Signature');
  const expected = signed.flatMap((element) => signaturesOf(element));
  if (signaturesOf(signed[0] as Node).length === 0) throw refuse('unsigned', 'is not signed itself');
  if (expected.length !== signed.length || signatures.length !== expected.length)
    throw refuse('wrapped', 'has signatures where there should be none');
  for (const element of signed) {
    const inside = walk(signaturesOf(element)[0] as Node);
    const references = inside.filter(({ localName }) => localName === 'Reference');
    if (references.length !== 1 || references[0]?.getAttribute('URI') !== `#${element.getAttribute('ID') ?? ''}`)
      throw refuse('wrapped', 'has a signature over something else');
    if (inside.some(({ localName }) => localName === 'Object'))
      throw refuse('wrapped', 'has content inside of a signature');
    for (const part of inside) {
      const known = algorithms[part.localName ?? ''];
      const algorithm = part.getAttribute('Algorithm') ?? '';
      if (known !== undefined && !known.has(algorithm))
        throw refuse(
          'algorithm',
          `is signed with ${algorithm.replace(/[^\w.:/#-]/gu, '?').slice(0, 80)}: SHA-256 or SHA-512 with RSA is needed`,
        );
    }
  }
}

const is = ({ namespaceURI, localName }: Node, namespace: string, name: string) =>
  namespaceURI === namespace && localName === name;

const signaturesOf = (element: Node) =>
  childrenOf(element).filter((child) => is(child, signatureNamespace, 'Signature'));

function childrenOf({ childNodes }: Node): Node[] {
  return Array.from({ length: childNodes.length }, (_, index) => childNodes.item(index)).filter(
    ({ nodeType }) => nodeType === elementType,
  );
}

/** The element and all below it. */
function walk(root: Node, depth = 0, found: Node[] = []): Node[] {
  if (depth > depth_max || found.length >= elements_max) throw refuse('malformed', 'is too deep, or too large');
  found.push(root);
  for (let index = 0; index < root.childNodes.length; index += 1) {
    const { nodeType } = root.childNodes.item(index);
    if (nodeType !== elementType && nodeType !== textType) throw refuse('malformed', 'has more than elements and text');
  }
  for (const child of childrenOf(root)) walk(child, depth + 1, found);
  return found;
}

const require = createRequire(import.meta.url);

function parsed(xml: string): Node {
  // The very parser that the library checks signatures with: two could see two documents.
  const { DOMParser } = require('@xmldom/xmldom') as Xmldom;
  const broken = (message: string) => {
    throw refuse('malformed', `is no XML: ${message.replace(/\s+/gu, ' ').slice(0, 80)}`);
  };
  return new DOMParser({ errorHandler: { warning: broken, error: broken, fatalError: broken } }).parseFromString(
    xml,
    'text/xml',
  );
}
