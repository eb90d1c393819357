import type { JWTPayload } from 'jose';
import type { Logger } from 'pino';
import type { IdentityConfig, Provider } from '../config/index.js';
import { ConfigError, IdentityError } from '../errors.js';
import type { Identity } from '../protocol.js';
import { VerifiedTokens } from './cache.js';
import { inGroups, openDirectory, type Directory } from './directory.js';
import { DiscoveredKeys } from './discovery.js';
import type { OwnTokens } from './issuing/own-tokens.js';
import { FileKeys, type Keys } from './keys.js';
import { readPrincipal } from './principal.js';
import type { Spent } from './spent.js';
import { quote, readToken } from './token.js';
import { verifyToken } from './verify.js';

export { openSigningKeys, type SigningKeys } from './issuing/signing-keys.js';
export { ownTokens, ancestors_max, type Act, type Issuance, type OwnTokens } from './issuing/own-tokens.js';
export { openTickets, ticketChores, type Tickets } from './issuing/tickets.js';
export { openCertificates, type Certificates } from './issuing/certificates.js';
export { openAssertions, type Assertions } from './saml/index.js';
export { openPeers, type Peers, type Vouched } from './peers.js';
export { openSpent, spentChores, type Spent } from './spent.js';
export { looksLikeTicket } from './issuing/secret.js';

export interface Identities {
  /**
   * Turns a token into who it is for, or throws IdentityError. The same token gives the same object again, for as long
   * as it is valid and its issuer's keys are the same; where its issuer's are good once, it is refused the second time. Rejects
   * with StateError where it cannot be known whether it came before. `certificate` is the thumbprint of one that was shown and is
   * good: a token may be bound to that.
   */
  identify(token: string, certificate?: string): Promise<Identity>;
  /** The same for a token of the gateway's own that is bound to a key, by whoever has proven to hold it. */
  identifyHolder(token: string, holder: string): Promise<Identity>;
  close(): void;
}

export interface IdentityOptions extends Omit<
  IdentityConfig,
  'revocationStrict' | 'ownTokens' | 'login' | 'saml' | 'mtls'
> {
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  readonly log?: Logger;
  readonly fetch?: typeof fetch;
  /** Tokens of the gateway's own, which it accepts as those of a provider. */
  readonly own?: OwnTokens | undefined;
  /** Which tokens came before, where a provider's are good once. Absent: such tokens are refused. */
  readonly spent?: Spent | undefined;
}

interface Issuer {
  readonly provider: Provider;
  readonly keys: Keys;
  read(payload: JWTPayload): Identity;
}

/**
 * Tokens to principals. Throws ConfigError where the keys of a provider cannot be read from their file; an issuer that
 * does not answer yet is a warning, and asked again when somebody comes with one of its tokens.
 */
export function createIdentity(options: IdentityOptions): Identities {
  const {
    providers,
    tokenLifetimeMax_ms,
    clockSkew_ms,
    now = Date.now,
    log,
    fetch: fetcher = fetch,
    own,
    spent,
  } = options;
  const verified = new VerifiedTokens();
  const issuers = new Map<string, Issuer>(
    providers.map((provider) => {
      const keys =
        provider.jwks === undefined
          ? new DiscoveredKeys(provider.issuer, { now, log, fetch: fetcher })
          : new FileKeys(provider.jwks.file, { now, log });
      if (provider.directory === undefined)
        return [provider.issuer, { provider, keys, read: (payload) => readPrincipal(payload, provider) }];
      const directory = openDirectory(provider.directory, { now, log, fetch: fetcher });
      const read = (payload: JWTPayload) => inGroups(readPrincipal(payload, provider), directory);
      return [provider.issuer, { provider, keys: keysWith(keys, directory), read }];
    }),
  );
  if (own !== undefined) {
    if (issuers.has(own.issuer)) throw new ConfigError(`identity.providers: ${own.issuer} is this gateway itself`);
    issuers.set(own.issuer, own);
  }
  for (const { keys } of issuers.values()) {
    // What goes wrong is logged where it happens, and tried again at the first token.
    keys.refresh().catch(() => undefined);
  }

  const terms = () => ({ tokenLifetimeMax_ms, clockSkew_ms, now_ms: now() });

  return {
    async identifyHolder(given, holder) {
      const token = readToken(given);
      if (own === undefined || token.issuer !== own.issuer)
        throw new IdentityError('issuer', "a token that is bound to a key is the gateway's own");
      await own.keys.refresh();
      return own.read(await verifyToken(token, own.provider, own.keys, { ...terms(), holder }));
    },
    async identify(given, certificate) {
      const key = VerifiedTokens.key(given);
      const known = await verified.get(key, now);
      if (known !== undefined) return known;

      const token = readToken(given);
      const issuer = issuers.get(token.issuer);
      if (issuer === undefined) {
        throw new IdentityError(
          'issuer',
          `the token's issuer ${quote(token.issuer)} is not one that this gateway trusts; get one from an issuer that it trusts`,
        );
      }
      const { provider, keys } = issuer;
      await keys.refresh();
      const { generation } = keys;
      const payload = await verifyToken(token, provider, keys, { ...terms(), certificate });
      // A bound one is never remembered as verified: it is good with its certificate alone.
      const bound = payload.cnf !== undefined && certificate !== undefined;
      const identity = bound ? Object.freeze({ ...issuer.read(payload), certificate }) : issuer.read(payload);
      if (provider.singleUse === true) {
        // Last, and never remembered as verified: what is refused for another reason may come again, once that is put right.
        await spend(identity, spent);
        return identity;
      }
      // Keys that changed meanwhile may not be those that vouched for it: verified again next time.
      if (!bound && keys.generation === generation) verified.set(key, { identity, keys, generation });
      return identity;
    },
    close() {
      verified.clear();
      for (const { keys } of issuers.values()) keys.close();
    },
  };
}

/** One sign-in is one use. Without an id, nobody could tell one token from another of the same moment. */
async function spend({ principal: { issuer, token }, expires_ms }: Identity, spent: Spent | undefined): Promise<void> {
  if (token.id === undefined || token.id === '')
    throw new IdentityError(
      'claims',
      'the token has no "jti", and its issuer\'s are good once: it cannot be told from others',
    );
  if (spent === undefined)
    throw new IdentityError('single_use', 'tokens of this issuer are good once, which cannot be seen to here');
  await spent.take(issuer, token.id, expires_ms);
}

/** Groups that change make a token be looked at again, as keys that change do. */
function keysWith(keys: Keys, directory: Directory): Keys {
  return {
    get generation() {
      return `${keys.generation} ${directory.generation}`;
    },
    async refresh() {
      await Promise.all([keys.refresh(), directory.refresh()]);
    },
    find: (header, token) => keys.find(header, token),
    close() {
      keys.close();
      directory.close();
    },
  };
}
