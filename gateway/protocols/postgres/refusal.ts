import { UpstreamError } from '../../errors.js';

/** The server itself said no. Its SQLSTATE and message reach the client; they name the role and database, no secret. */
export class UpstreamRefusal extends UpstreamError {
  readonly sqlstate: string;
  /** Whether the gateway's own credential is what it refused. */
  readonly credential: boolean;

  constructor(target: string, fields: ReadonlyMap<string, string>, encrypted: boolean) {
    const sqlstate = fields.get('C') ?? '08004';
    const text = fields.get('M') ?? 'no reason given';
    // Class 28 is about the gateway's own credential: of no use to the client, and not for it to read.
    const ours = sqlstate.startsWith('28');
    super(ours ? notLetIn(target, sqlstate, encrypted) : `target "${target}" refuses the connection: ${text}`, {
      detail: `${sqlstate} ${text}`,
    });
    this.sqlstate = ours ? '08004' : sqlstate;
    this.credential = ours;
  }
}

function notLetIn(target: string, sqlstate: string, encrypted: boolean): string {
  if (sqlstate === '28P01') {
    return `target "${target}" does not accept the gateway's credential: check upstream.user and upstream.password`;
  }
  // Also what a server says whose channel binding fails: somebody may sit between, and the password is not to blame.
  return encrypted
    ? `target "${target}" does not let the gateway in: check upstream.user, upstream.database and the server's pg_hba.conf`
    : `target "${target}" does not let the gateway in: its pg_hba.conf may ask for TLS (upstream.tls), or not know upstream.user and upstream.database`;
}
