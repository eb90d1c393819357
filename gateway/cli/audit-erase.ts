import { userInfo } from 'node:os';
import type { Config } from '../config/index.js';
import { IdentityError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import type { Surroundings } from './surroundings.js';

export interface EraseFlags {
  readonly config?: string;
  readonly subject: string;
  readonly reason: string;
  readonly until?: number;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/**
 * Takes a person's values out of what was rotated away. An administrator's act: their token is verified as the gateway would,
 * whether it runs or not, and who did it is recorded first, in a chain beside those of gateways.
 */
export async function eraseValues(flags: EraseFlags, config: Config, around: Surroundings): Promise<ExitCode> {
  const administrator = await administratorOf(flags, config, around);
  if (typeof administrator === 'string') {
    around.stderr.write(`sallyport: nothing was erased: ${administrator}\n`);
    return exit.no;
  }
  const { records, left } = await erased(flags, config, administrator);
  const rest =
    left === 0 ? '' : `; ${left} more stand in files that are being written: say so again once they are rotated`;
  around.stdout.write(
    flags.json === true ? `${JSON.stringify({ records, left })}\n` : `${records} records erased${rest}\n`,
  );
  return left === 0 ? exit.done : exit.no;
}

interface Administrator {
  readonly issuer: string;
  readonly subject: string;
}

/** A string: why they may not. */
async function administratorOf(
  { tokenFile }: EraseFlags,
  { identity: how, console: { administrators, auditors } }: Config,
  around: Surroundings,
): Promise<Administrator | string> {
  const { createIdentity } = await import('../identity/index.js');
  const { rolesOf } = await import('../api/index.js');
  const { readToken } = await import('./api/client.js');
  const token = await readToken(tokenFile, around);
  const identities = createIdentity(how);
  try {
    const { principal } = await identities.identify(token);
    if (rolesOf(principal, { administrators, auditors }).has('administrator'))
      return { issuer: principal.issuer, subject: principal.subject };
    return 'only administrators may do this: a group of yours has to stand in console.administrators';
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    return error.message;
  } finally {
    identities.close();
  }
}

async function erased(
  { subject, reason, until }: EraseFlags,
  { audit: { sinks, signing_key }, state: { directory } }: Config,
  administrator: Administrator,
): Promise<{ records: number; left: number }> {
  const { countIn, eraseIn, fileHeadStore, filesOf, openAudit, openSigner } = await import('../audit/index.js');
  const files = (await Promise.all(sinks.map(({ file }) => filesOf(file)))).flat();
  const current = new Set(sinks.map(({ file }) => file));
  const options = { subject, until_ms: until };
  const audit = await openAudit({
    sinks,
    durability: 'disk',
    seal: { signer: await openSigner({ key: signing_key, directory }), heads: fileHeadStore(directory) },
  });
  let [records, left] = [0, 0];
  try {
    await audit.write(
      {
        kind: 'administrator',
        fields: { act: 'audit_erase', through: 'command line' },
        // Whose it was must not be found out from the record of its being erased.
        personal: { administrator, account: userInfo().username, reason },
      },
      { durable: true },
    );
    for (const file of files) {
      if (current.has(file)) left += await countIn(file, options).catch(ifMissing);
      else records += (await eraseIn(file, options)).records;
    }
    await audit.write(
      { kind: 'administrator', fields: { act: 'audit_erased', through: 'command line', records } },
      { durable: true },
    );
  } finally {
    await audit.close();
  }
  return { records, left };
}

function ifMissing(error: unknown): number {
  if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  return 0;
}
