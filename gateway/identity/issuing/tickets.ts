import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Prompt } from '#engine';
import { personKey } from '../../approvals/keys.js';
import { ApprovalError, IdentityError } from '../../errors.js';
import type { Identity } from '../../protocol.js';
import type { Database } from '../../state/database.js';
import type { Chore } from '../../state/housekeeping.js';
import type { OwnTokens } from './own-tokens.js';
import * as ticket from './secret.js';

/**
 * Tickets: short secrets for where a token is too long or cannot be sent. One stands for a token of the gateway's own, for
 * one target, which lies in the state encrypted with what only the ticket's secret gives. All replicas over one state take
 * it; whoever has the state alone can neither use it nor read whose it is, nor make one: the token inside has to be signed.
 */
export interface Tickets {
  isTarget(name: string): boolean;
  issue(order: TicketOrder): Promise<IssuedTicket>;
  /** Whose a whole ticket is. Rejects with IdentityError. */
  redeem(given: string): Promise<Identity>;
  /** For clients that prove the secret instead of sending it; undefined for what is no ticket's id. */
  prove(id: string): Promise<Proof | undefined>;
  /** Those of one principal, without their secrets. */
  list(owner: Identity): Promise<readonly TicketRow[]>;
  /** False where there is none of that id, or none of theirs; undefined means anybody's. */
  remove(id: string, owner: Identity | undefined): Promise<boolean>;
}

export interface TicketOrder {
  readonly identity: Identity;
  readonly target: string;
  readonly purpose?: string | undefined;
  readonly prompt?: Prompt | undefined;
  readonly lifetime_ms?: number | undefined;
}

export interface IssuedTicket {
  /** The whole of it: what is sent as a password. */
  readonly ticket: string;
  /** Its first part, which is the user name where the secret alone is the password (SCRAM). */
  readonly id: string;
  readonly secret: string;
  readonly target: string;
  readonly expires_ms: number;
}

export interface TicketRow {
  readonly id: string;
  readonly target: string;
  readonly made: Date;
  readonly expires: Date;
}

export interface Proof extends ticket.Verifier {
  /** Whose it is. Rejects with IdentityError where the key is not the one whose hash is stored. */
  redeem(clientKey: Buffer): Promise<Identity>;
}

export interface TicketsParts {
  readonly database: Database;
  readonly own: OwnTokens;
  /** Verifies a token, as of every issuer. */
  readonly identify: (token: string) => Promise<Identity>;
}

const lifetimeDefault_ms = 15 * 60_000;
const open_ms_max = 20_000;
const perOwner_max = 100;
const tickets_max = 100_000;

export const ticketChores: readonly Chore[] = [
  {
    what: 'tickets',
    text: `delete from sallyport.tickets where id in (
      select id from sallyport.tickets where expires < now() order by expires limit $1 for update skip locked)
      returning 1`,
    values: [],
  },
];

export function openTickets({ database, own, identify }: TicketsParts): Tickets {
  const nobody = randomBytes(32);

  // The first one may find a state that nobody has needed yet: it is opened, which takes a moment.
  const opened = async () => {
    if (!database.started) await database.ready(open_ms_max);
  };
  const find = async (id: string): Promise<Row | undefined> => {
    await opened();
    const [row] = await database.query<Row>(
      `select id, salt, iterations, stored_key, server_key, sealed from sallyport.tickets where id = $1 and expires > now()`,
      [id],
    );
    return row;
  };
  const open = async (row: Row | undefined, clientKey: Buffer): Promise<Identity> => {
    const key = createHash('sha256').update(clientKey).digest();
    if (row === undefined || !timingSafeEqual(key, Buffer.from(row.stored_key, 'base64'))) throw unknown();
    const token = ticket.unseal(row.sealed, clientKey, row.id);
    if (token === undefined) throw unknown();
    return identify(token);
  };

  return {
    isTarget: (name) => own.targetOf(name) === name,
    async issue({ identity, target, purpose, prompt, lifetime_ms = lifetimeDefault_ms }) {
      await opened();
      const { id, secret } = ticket.newTicket();
      const issued = await own.issue({ identity, target, purpose, prompt, lifetime_ms, id });
      // What could not be used is not given out: also where the keys or the claims have become unusable meanwhile.
      await identify(issued.token);
      const { verifier, clientKey } = await ticket.verifierOf(secret);
      const rows = await database.query(
        `insert into sallyport.tickets (id, owner, target, expires, salt, iterations, stored_key, server_key, sealed)
           select $1, $2, $3, to_timestamp($4), $5, $6, $7, $8, $9
            where (select count(*) from sallyport.tickets where owner = $2 and expires > now()) < $10
              and (select count(*) from sallyport.tickets) < $11
         returning id`,
        [
          ...[id, personKey(identity.principal), target, issued.expires_ms / 1000],
          ...[verifier.salt, verifier.iterations, verifier.stored_key, verifier.server_key],
          ...[ticket.seal(issued.token, clientKey, id), perOwner_max, tickets_max],
        ],
      );
      if (rows.length === 0)
        throw new ApprovalError('too_many', `too many tickets are valid: one principal has at most ${perOwner_max}`);
      return { ticket: `${id}_${secret}`, id, secret, target, expires_ms: issued.expires_ms };
    },
    async redeem(given) {
      const { id, secret } = ticket.readTicket(given);
      const row = await find(id);
      const clientKey = await ticket.clientKeyOf(secret, row ?? ticket.verifierOfNobody(id, nobody));
      return open(row, clientKey);
    },
    async prove(id) {
      if (!ticket.isTicketId(id)) return undefined;
      const row = await find(id);
      const { salt, iterations, stored_key, server_key } = row ?? ticket.verifierOfNobody(id, nobody);
      return { salt, iterations, stored_key, server_key, redeem: (clientKey) => open(row, clientKey) };
    },
    list: (owner) =>
      database.query<TicketRow>(
        'select id, target, made, expires from sallyport.tickets where owner = $1 and expires > now() order by made desc limit $2',
        [personKey(owner.principal), perOwner_max],
      ),
    async remove(id, owner) {
      const rows = await database.query(
        'delete from sallyport.tickets where id = $1 and ($2::text is null or owner = $2) returning id',
        [id, owner === undefined ? null : personKey(owner.principal)],
      );
      return rows.length > 0;
    },
  };
}

interface Row extends ticket.Verifier {
  readonly id: string;
  readonly sealed: string;
}

/** One message for all of it: which ids there are is nobody's business. */
const unknown = () =>
  new IdentityError(
    'ticket',
    'the ticket is unknown, has expired or was revoked, or its secret is wrong; get a new one',
  );
