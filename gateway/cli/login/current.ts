import * as oidc from 'openid-client';
import { UpstreamError } from '../../errors.js';
import type { Surroundings } from '../surroundings.js';
import { alone, readKept, writeKept, type Kept } from './kept.js';
import { discover, forWhom, keptOf, reasonOf } from './provider.js';

/** A token that is over so soon is not worth beginning with. */
const soon_ms = 60_000;

/**
 * The token of whoever signed in at this gateway, refreshed where it is about to end; undefined where nobody did. Rejects
 * with UpstreamError where it is over and the provider gives no other.
 */
export async function currentToken(gateway: string, around: Surroundings): Promise<Kept | undefined> {
  const kept = await readKept(gateway, around);
  if (kept === undefined || isGood(kept)) return kept;
  return alone(gateway, around, async () => {
    // Another program may have refreshed it while this one waited.
    const now = await readKept(gateway, around);
    return now === undefined || isGood(now) ? now : refreshed(now, around);
  });
}

const isGood = ({ expires_ms }: Kept) => expires_ms - Date.now() > soon_ms;

async function refreshed(kept: Kept, around: Surroundings): Promise<Kept> {
  const { gateway, login, refresh } = kept;
  try {
    if (refresh === undefined) throw new Error('the provider gave no refresh token');
    const tokens = await oidc.refreshTokenGrant(await discover(login), refresh, forWhom(login));
    const next = keptOf(gateway, login, tokens, kept);
    await writeKept(next, around);
    return next;
  } catch (error) {
    // A little left is enough for a command: it fails later, if it has to.
    if (kept.expires_ms > Date.now()) return kept;
    throw new UpstreamError(
      `your sign-in is over, and cannot be refreshed: ${reasonOf(error)}. Sign in again: \`sallyport login\``,
      { cause: error },
    );
  }
}
