import { randomBytes } from 'node:crypto';
import { CompactSign, compactVerify, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose';
import { StateError } from '../errors.js';
import type { Database } from '../state/database.js';
import type { Bound, Receipt } from './approvals.js';
import { canonical } from './keys.js';

/**
 * Signed answers: JWS (RFC 7515) with Ed25519 (RFC 8037). The key is made once and lies in the state, so that every
 * replica signs with it and can check what another signed.
 */
export interface ReceiptClaims {
  readonly id: string;
  readonly hold: string;
  readonly bound: Bound;
  /** Digests of what was approved. */
  readonly approvals: readonly string[];
  readonly approvers: readonly string[];
  /** The grant that it is one use of. */
  readonly grant?: string;
  /** Milliseconds since the epoch. */
  readonly expires_ms: number;
}

const type = 'sallyport-receipt+jws';
const keyName = 'receipts';

export const receiptId = (): string => `r-${randomBytes(12).toString('base64url')}`;

export class Receipts {
  readonly #database: Database;
  #key: Promise<JWK> | undefined;

  constructor(database: Database) {
    this.#database = database;
  }

  async sign(claims: ReceiptClaims): Promise<Receipt> {
    const jwk = await this.#jwk();
    const token = await new CompactSign(Buffer.from(canonical(claims)))
      .setProtectedHeader({ alg: 'EdDSA', typ: type, kid: String(jwk.kid) })
      .sign(await importJWK(jwk, 'EdDSA'));
    return { id: claims.id, hold: claims.hold, approvers: claims.approvers, token };
  }

  /** What it says, if it was signed here. Rejects with StateError for one that was not: somebody wrote it into the state. */
  async verify(token: string): Promise<ReceiptClaims> {
    const { d: _, ...half } = await this.#jwk();
    try {
      const { payload, protectedHeader } = await compactVerify(token, await importJWK(half, 'EdDSA'), {
        algorithms: ['EdDSA'],
      });
      if (protectedHeader.typ !== type) throw new Error('it is no receipt');
      return JSON.parse(Buffer.from(payload).toString()) as ReceiptClaims;
    } catch (error) {
      throw new StateError('a receipt in the state was not signed by this gateway', { cause: error });
    }
  }

  #jwk(): Promise<JWK> {
    const known = (this.#key ??= this.#load());
    known.catch(() => (this.#key = undefined));
    return known;
  }

  async #load(): Promise<JWK> {
    const made = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
    const jwk = { ...(await exportJWK(made.privateKey)), kid: randomBytes(9).toString('base64url') };
    // Of two replicas that come at once, one's is kept, and both read that.
    await this.#database.query('insert into sallyport.keys (name, jwk) values ($1, $2) on conflict do nothing', [
      keyName,
      JSON.stringify(jwk),
    ]);
    const [row] = await this.#database.query<{ jwk: string }>('select jwk from sallyport.keys where name = $1', [
      keyName,
    ]);
    if (row === undefined) throw new StateError('the key of receipts is gone');
    return JSON.parse(row.jwk) as JWK;
  }
}
