import type { JWTPayload } from 'jose';
import type { Logger } from 'pino';
import type { Claims, Provider, SamlProvider } from '../../config/index.js';
import { readReference } from '../../config/references.js';
import { IdentityError } from '../../errors.js';
import type { Identity } from '../../protocol.js';
import { inGroups, openDirectory } from '../directory.js';
import { readPrincipal } from '../principal.js';
import { signedContent } from './library.js';
import { checkAssertion, unasked, type Assertion, type Checked } from './assertion.js';
import { document_bytes_max, readShape, type Shape } from './shape.js';
import type { Spent } from '../spent.js';

/**
 * SAML 2.0 assertions to principals. The library checks signatures, and hands out what is signed; which documents it gets
 * to see, whom an assertion is for, until when, and that it comes once, is checked here: it looks at neither recipients,
 * nor destinations, nor algorithms, and takes the same assertion again and again.
 */
export interface Assertions {
  /** A response or an assertion alone, in base64 or base64url. Rejects with IdentityError or StateError. */
  identify(given: string): Promise<Identity>;
  close(): void;
}

export interface AssertionsParts {
  readonly providers: readonly SamlProvider[];
  /** Where they may be brought to, as providers call it. */
  readonly recipients: readonly string[];
  readonly tokenLifetimeMax_ms: number;
  readonly clockSkew_ms: number;
  readonly spent: Spent;
  readonly now: () => number;
  readonly log?: Logger;
  readonly fetch?: typeof fetch;
}

export function openAssertions(parts: AssertionsParts): Assertions {
  const { providers, recipients, tokenLifetimeMax_ms, clockSkew_ms, spent, now, log, fetch: fetcher = fetch } = parts;
  const directories = new Map(
    providers.flatMap(({ issuer, directory }) =>
      directory === undefined ? [] : [[issuer, openDirectory(directory, { now, log, fetch: fetcher })] as const],
    ),
  );
  return {
    async identify(given) {
      const xml = decoded(given);
      const shape = readShape(xml);
      checkEnvelope(shape, recipients);
      const provider = await issuerOf(xml, providers);
      const assertion = await verified(xml, shape, provider);
      const terms = { issuer: provider.issuer, audience: provider.audience, recipients, now_ms: now(), clockSkew_ms };
      const checked = checkAssertion(assertion, { ...terms, lifetime_ms_max: tokenLifetimeMax_ms });
      const named = identityOf(checked, provider, Math.min(provider.tokenLifetime_ms, tokenLifetimeMax_ms), now());
      const directory = directories.get(provider.issuer);
      await directory?.refresh();
      const identity = directory === undefined ? named : inGroups(named, directory);
      // Last: what is refused for another reason may come again, once that is put right.
      await spent.take(provider.issuer, checked.id, checked.good_ms);
      return identity;
    },
    close() {
      for (const directory of directories.values()) directory.close();
    },
  };
}

/** Invalid base64 is refused, not skipped: two readers could see two documents. */
function decoded(given: string): string {
  // Not "=+$": that looks at the rest from each "=" again, so that a body full of them stops everything for a minute.
  const padding = /={1,2}$/u;
  const text = given.replace(/\s+/gu, '').replaceAll('-', '+').replaceAll('_', '/').replace(padding, '');
  if (text.length > document_bytes_max * 2)
    throw new IdentityError('too_long', `the SAML assertion has more than ${document_bytes_max} bytes`);
  const bytes = Buffer.from(text, 'base64');
  if (text === '' || bytes.toString('base64').replace(padding, '') !== text) throw malformed('is not base64');
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed('is not in UTF-8');
  }
}

const malformed = (what: string) => new IdentityError('malformed', `the SAML assertion ${what}`);

/** saml-bindings, 3.5.5.2. */
function checkEnvelope({ root, destination, inResponseTo }: Shape, recipients: readonly string[]): void {
  if (inResponseTo !== undefined) throw unasked();
  if (root === 'Response' && (destination === undefined || !recipients.includes(destination)))
    throw new IdentityError('destination', 'the SAML response was sent to somewhere else (Destination)');
}

/** Only good for choosing whose signature it has to be: it is compared again in what was signed. */
async function issuerOf(xml: string, providers: readonly SamlProvider[]): Promise<SamlProvider> {
  // Trimmed afterwards: white space that a pattern may take in two ways costs the square of its length.
  const names = [...xml.matchAll(/<(?:[\w.-]+:)?Issuer(?:\s[^>]*)?>([^<]*)</gu)].map(([, name = '']) => name.trim());
  const found = providers.filter(({ issuer }) => names.some((name) => name === issuer));
  const [provider] = found;
  if (provider === undefined || found.length !== 1 || new Set(names).size !== 1)
    throw new IdentityError('issuer', 'the SAML assertion is of no issuer that this gateway trusts');
  return provider;
}

/** The content that is signed, as the library's reader has it. */
async function verified(xml: string, { root, responseSigned }: Shape, provider: SamlProvider): Promise<Assertion> {
  const certificates = await certificatesOf(provider);
  const response = root === 'Response' ? xml : enclosed(xml);
  try {
    return (await signedContent({ response, certificates, responseSigned, provider })) as Assertion;
  } catch (error) {
    const { message } = error as Error;
    if (/audience/iu.test(message))
      throw new IdentityError('audience', 'the SAML assertion is for somebody else', { cause: error });
    if (!/signature/iu.test(message)) throw malformed('has something in it that is no SAML');
    throw new IdentityError(
      'signature',
      "the SAML assertion's signature is not its issuer's: it was changed on its way here, or is forged",
      { cause: error, detail: message },
    );
  }
}

/** An assertion that stands alone, where the library looks for one: exclusive canonicalization leaves its digest as it is. */
const enclosed = (xml: string): string =>
  `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_enclosed" Version="2.0">${xml.replace(/^<\?xml[^>]*\?>\s*/u, '')}</samlp:Response>`;

/** Read anew each time: a provider's new certificate is put beside the old one, without a restart. */
async function certificatesOf({ certificates: { file } }: SamlProvider): Promise<string[]> {
  const text = await readReference(file).catch((error: unknown) => {
    throw new IdentityError('keys', "the issuer's certificates cannot be read at the moment; try again later", {
      cause: error,
    });
  });
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/gu) ?? [];
  if (found.length === 0) throw new IdentityError('keys', "the issuer's certificates cannot be used at the moment");
  return found.slice(0, 10);
}

/** An attribute is to a principal what a claim is; those that name nothing for it are left out. */
function identityOf(checked: Checked, saml: SamlProvider, lifetime_ms: number, now_ms: number): Identity {
  const expires_ms = Math.min(now_ms + lifetime_ms, checked.session_ms ?? Infinity);
  const payload: JWTPayload = {
    ...said(checked.attributes, saml.claims),
    sub: checked.subject,
    iss: saml.issuer,
    iat: Math.floor(checked.issued_ms / 1000),
    exp: Math.floor(expires_ms / 1000),
    jti: checked.id,
    act: undefined,
  };
  const provider: Provider = {
    name: saml.name,
    issuer: saml.issuer,
    audience: [saml.audience],
    algorithms: [],
    claims: saml.claims,
    kindDefault: saml.kindDefault,
  };
  return readPrincipal(payload, provider);
}

/** Groups and roles are lists however many there are: a name with a space in it is one name. */
function said(attributes: Checked['attributes'], { groups, roles, ...others }: Claims): Record<string, unknown> {
  const one = [others.purpose, others.kind, others.prompt, ...others.attributes].map((name) => {
    const values = attributes.get(name);
    return [name, values?.length === 1 ? values[0] : values] as const;
  });
  const lists = [groups, roles].map((name) => [name, attributes.get(name)] as const);
  return Object.fromEntries([...one, ...lists].filter(([, value]) => value !== undefined));
}
