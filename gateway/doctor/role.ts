import pg from 'pg';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';

const answer_ms_max = 5_000;

interface Form {
  readonly host: string;
  readonly port?: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly tls?: string | { readonly mode: string; readonly ca?: string; readonly server_name?: string };
}

/** What a role has that no client of a database should get through it, and what takes it away. */
const powers: Readonly<Record<string, string>> = {
  superuser: 'alter role %r nosuperuser',
  'create role': 'alter role %r nocreaterole',
  'create database': 'alter role %r nocreatedb',
  replication: 'alter role %r noreplication',
  'bypass of row security': 'alter role %r nobypassrls',
  pg_execute_server_program: 'revoke pg_execute_server_program from %r',
  pg_read_server_files: 'revoke pg_read_server_files from %r',
  pg_write_server_files: 'revoke pg_write_server_files from %r',
};

const query = `select r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
  pg_has_role(r.oid, 'pg_execute_server_program', 'member'), pg_has_role(r.oid, 'pg_read_server_files', 'member'),
  pg_has_role(r.oid, 'pg_write_server_files', 'member') from pg_roles r where r.rolname = current_user`;

function clientOf(form: Form, password: string | undefined): pg.Client {
  const { host, port = 5432, database, user } = form;
  const tls = typeof form.tls === 'string' ? { mode: form.tls } : form.tls;
  const encrypted = tls !== undefined && tls.mode !== 'disable';
  const client = new pg.Client({
    ...{ host, port, database, user, connectionTimeoutMillis: answer_ms_max, query_timeout: answer_ms_max },
    ...(password === undefined ? {} : { password }),
    ...(encrypted ? { ssl: { rejectUnauthorized: tls.mode.startsWith('verify'), ...(tls.ca && { ca: tls.ca }) } } : {}),
  });
  client.on('error', () => undefined);
  return client;
}

/** Names that servers are often made with. */
const usual = ['postgres'];

/**
 * Whether somebody signs in there without any password: whoever reaches the server goes around the gateway then. Asked from
 * here; rules of the server may differ by address.
 */
export async function openFinding(target: string, form: Form): Promise<Finding> {
  const check = `around ${target}`;
  const open: string[] = [];
  for (const user of new Set([form.user, ...usual])) {
    // Empty, and not absent: else it would come from the environment, or a file of whoever runs this.
    const client = clientOf({ ...form, user }, '');
    await client.connect().then(() => open.push(user), () => undefined); // prettier-ignore
    await client.end().catch(() => undefined);
  }
  if (open.length === 0) return ok(check, 'nobody signs in there without a credential');
  return fail(
    check,
    `${open.join(' and ')} can sign in from here without a password: whoever reaches the server goes around the gateway`,
    `In pg_hba.conf, in place of "trust": hostssl ${form.database} ${form.user} GATEWAY_ADDRESS/32 scram-sha-256; then select pg_reload_conf();`,
  );
}

/** Whether the gateway can sign in to a Postgres, and as whom: policy is the inner gate, the role's grants the outer one. */
export async function roleFinding(target: string, form: Form): Promise<Finding> {
  const check = `role at ${target}`;
  const { user, password } = form;
  const client = clientOf(form, password);
  try {
    await client.connect();
    const { rows } = await client.query<boolean[]>({ text: query, rowMode: 'array' });
    const has = Object.keys(powers).filter((_, index) => rows[0]?.[index] === true);
    // A superuser is a member of everything.
    const named = has.includes('superuser') ? ['superuser'] : has;
    if (named.length === 0) return ok(check, `${user} has no power beyond its grants`);
    const mends = named.map((power) => powers[power]!.replace('%r', `"${user.replaceAll('"', '""')}"`));
    return warn(check, `${user} has ${named.join(', ')}: more than its clients need`, `${mends.join('; ')};`);
  } catch (error) {
    return fail(check, `${user} cannot sign in: ${messageOf(error)}`, 'Check user, password, database and TLS of the upstream.'); // prettier-ignore
  } finally {
    await client.end().catch(() => undefined);
  }
}
