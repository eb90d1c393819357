import type { Principal } from '#engine';
import type { Logger } from 'pino';
import { ApprovalError, IdentityError, StateError } from '../errors.js';
import type { Identity } from '../protocol.js';
import { digest } from '../approvals/keys.js';
import type { Database } from '../state/database.js';
import type { Replica } from '../state/replica.js';

/**
 * Tokens that are refused before they expire: one by its id ("jti"), or all of a subject that were issued until some moment.
 *
 * Every replica has all of them in memory, so that a sign-in asks nobody; the state carries them from one to the others, and over
 * a restart. One is forgotten when nothing that it refuses could be valid any longer.
 */
export interface RevocationsParts {
  readonly database: Database;
  readonly replica: Replica;
  readonly log: Logger;
  readonly now: () => number;
  /** The longest life of a token. */
  readonly tokenLifetimeMax_ms: number;
  /** Whether a sign-in is refused while this replica cannot know of what others revoked. */
  readonly strict: boolean;
}

/** Told of a new revocation in force: whoever is signed in with what it refuses has to go. */
export type RevocationListener = (fits: (principal: Principal) => boolean) => void;

export interface RevokeQuery {
  readonly jti?: string;
  readonly subject?: string;
  /** Absent: of every issuer. */
  readonly issuer?: string;
  /** Of a subject: milliseconds since the epoch; absent: until now. */
  readonly issuedBefore_ms?: number;
}

export interface RevokeAnswer {
  /** Whether the state has it: else this gateway alone knows of it, until the state is back. */
  readonly kept: boolean;
  readonly expires_ms: number;
}

/** A token's times are whole seconds: one that was issued within the second of its revocation counts as before. */
interface Revocation {
  readonly key: string;
  readonly jti?: string;
  readonly subject?: string;
  readonly issuer?: string;
  readonly until_ms?: number;
  readonly expires_ms: number;
  readonly by: { readonly issuer: string; readonly subject: string };
}

const channel = 'sallyport_revocations';
const revocations_max = 100_000;

export class Revocations {
  readonly #parts: RevocationsParts;
  readonly #known = new Map<string, Revocation>();
  /** Of `#known`, those that the state has not got yet. */
  readonly #unkept = new Set<string>();
  readonly #listeners = new Set<RevocationListener>();
  readonly #unlisten: () => void;
  /** This replica has read all there is, and has been listening ever since. */
  #certain = false;

  constructor(parts: RevocationsParts) {
    this.#parts = parts;
    const read = (key?: string) => {
      this.#read(key).catch((error: unknown) => {
        this.#certain = false;
        if (!(error instanceof StateError)) parts.log.error({ err: error }, 'revocations could not be read');
      });
    };
    this.#unlisten = parts.database.listen(
      channel,
      (key) => read(key),
      () => read(),
    );
    parts.replica.onBeat(async () => {
      for (const key of this.#unkept) await this.#keep(this.#known.get(key));
      // Also what a notification was lost of, while its connection was.
      await this.#read(undefined, this.#certain);
      await parts.database.query('delete from sallyport.revocations where expires < now()');
    });
  }

  /** Returns what ends it. */
  subscribe(listener: RevocationListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Reads what was revoked before this replica started; goes on without where the state does not come in time. */
  async load(patience_ms: number): Promise<void> {
    try {
      await this.#parts.database.ready(patience_ms);
      await this.#read();
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      this.#parts.log.warn({ err: error }, 'what tokens were revoked before this start is not known yet');
    }
  }

  /** Throws IdentityError for a token that was revoked, or, where that is configured, of which it cannot be known. */
  check({ principal }: Identity): void {
    if (this.isRevoked(principal)) {
      throw new IdentityError('revoked', 'the token was revoked; get a new one, if you still may');
    }
    const { strict, database } = this.#parts;
    if (strict && !(this.#certain && database.healthy)) {
      throw new IdentityError(
        'revocation_unknown',
        'whether the token was revoked cannot be known at the moment, as the state of the gateway is out of reach; try again later',
      );
    }
  }

  isRevoked(principal: Principal): boolean {
    // Asked with every request: where nothing was revoked there are no keys to make.
    if (this.#known.size === 0) return false;
    const now_ms = this.#parts.now();
    for (const key of keysOf(principal)) {
      const known = this.#known.get(key);
      if (known === undefined) continue;
      if (known.expires_ms <= now_ms) this.#known.delete(key);
      else if (fits(known, principal)) return true;
    }
    return false;
  }

  /** In force here at once; on the others when the state has it. Rejects with ApprovalError for one that names nothing, or where there are too many. */
  async revoke(query: RevokeQuery, who: Identity): Promise<RevokeAnswer> {
    const { now, tokenLifetimeMax_ms } = this.#parts;
    const { jti, subject, issuer } = query;
    if ((jti === undefined) === (subject === undefined)) {
      throw new ApprovalError('malformed', 'name a token by its jti, or a subject: one of the two');
    }
    this.#forget();
    if (this.#known.size >= revocations_max) {
      throw new ApprovalError('too_many', 'too many revocations are in force; revoke subjects in the place of tokens');
    }
    const now_ms = now();
    // Nothing is revoked that does not exist yet: what is issued tomorrow is the issuer's to refuse.
    const until_ms = subject === undefined ? undefined : Math.min(query.issuedBefore_ms ?? now_ms, now_ms);
    const { issuer: byIssuer, subject: bySubject } = who.principal;
    const revocation: Revocation = {
      key: keyOf({ jti, subject, issuer }),
      ...(jti === undefined ? {} : { jti }),
      ...(subject === undefined ? {} : { subject }),
      ...(issuer === undefined ? {} : { issuer }),
      ...(until_ms === undefined ? {} : { until_ms }),
      expires_ms: now_ms + tokenLifetimeMax_ms,
      by: { issuer: byIssuer, subject: bySubject },
    };
    this.#unkept.add(revocation.key);
    this.#apply(revocation);
    return { kept: await this.#keep(revocation), expires_ms: revocation.expires_ms };
  }

  async #keep(revocation: Revocation | undefined): Promise<boolean> {
    if (revocation === undefined) return false;
    const { key, expires_ms, until_ms, jti, subject, issuer, by } = revocation;
    try {
      await this.#parts.database.transaction(async (queries) => {
        await queries.query(
          `insert into sallyport.revocations (key, expires, until, info)
             values ($1, to_timestamp($2), to_timestamp($3), $4)
           on conflict (key) do update set given = now(), expires = greatest(revocations.expires, excluded.expires),
             until = greatest(revocations.until, excluded.until), info = excluded.info`,
          [
            key,
            expires_ms / 1000,
            until_ms === undefined ? null : until_ms / 1000,
            JSON.stringify({ jti, subject, issuer, by }),
          ],
        );
        await queries.query('select pg_notify($1, $2)', [channel, key]);
      });
      this.#unkept.delete(key);
      return true;
    } catch (error) {
      if (!(error instanceof StateError)) throw error;
      return false;
    }
  }

  async #read(key?: string, recent = false): Promise<void> {
    const rows = await this.#parts.database.query<Row>(
      `select key, expires, until, info from sallyport.revocations
        where expires > now() and ($1::text is null or key = $1) and (not $3 or given > now() - interval '1 minute')
        order by given desc limit $2`,
      [key ?? null, revocations_max, recent],
    );
    for (const row of rows) this.#apply(revocationOf(row));
    if (key === undefined) this.#certain = true;
  }

  #apply(revocation: Revocation): void {
    const before = this.#known.get(revocation.key);
    if (before !== undefined && (before.until_ms ?? 0) >= (revocation.until_ms ?? 0)) return;
    this.#known.set(revocation.key, revocation);
    for (const listener of this.#listeners) listener((principal) => fits(revocation, principal));
  }

  #forget(): void {
    const now_ms = this.#parts.now();
    for (const [key, { expires_ms }] of this.#known) if (expires_ms <= now_ms) this.#known.delete(key);
  }

  close(): void {
    this.#unlisten();
  }
}

function fits({ jti, subject, issuer, until_ms }: Revocation, principal: Principal): boolean {
  if (issuer !== undefined && issuer !== principal.issuer) return false;
  // With a token goes what was made from it.
  if (jti !== undefined) return principal.token.id === jti || principal.token.from?.includes(jti) === true;
  if (subject !== principal.subject || until_ms === undefined) return false;
  // A token that does not say when it was issued may have been issued before.
  const { issued } = principal.token;
  return issued === undefined || Date.parse(issued) <= until_ms;
}

/** In what the state keeps no name stands as a key. */
const keyOf = (named: {
  jti?: string | undefined;
  subject?: string | undefined;
  issuer?: string | undefined;
}): string => digest({ jti: named.jti ?? null, subject: named.subject ?? null, issuer: named.issuer ?? null });

function keysOf({ subject, issuer, token }: Principal): string[] {
  const ids = [...(token.id === undefined ? [] : [token.id]), ...(token.from ?? [])];
  const named = [{ subject }, ...ids.map((jti) => ({ jti }))];
  return named.flatMap((one) => [keyOf(one), keyOf({ ...one, issuer })]);
}

interface Row {
  readonly key: string;
  readonly expires: Date;
  readonly until: Date | null;
  readonly info: string;
}

const revocationOf = ({ key, expires, until, info }: Row): Revocation => ({
  ...(JSON.parse(info) as Pick<Revocation, 'jti' | 'subject' | 'issuer' | 'by'>),
  key,
  expires_ms: expires.getTime(),
  ...(until === null ? {} : { until_ms: until.getTime() }),
});
