import { setTimeout as timer } from 'node:timers/promises';
import * as oidc from 'openid-client';
import type { LoginConfig } from '../../config/index.js';
import { UpstreamError } from '../../errors.js';
import { printableLine } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { asked, reasonOf, type Tokens } from './provider.js';

/** The device authorization grant (RFC 8628): signed in at any browser, also where there is none. */

const grantType = 'urn:ietf:params:oauth:grant-type:device_code';
const interval_s = 5;
/** RFC 8628, 3.5: what every slow_down adds. */
const slower_ms = 5_000;
const pending_s_max = 1_800;

/** Rejects with UpstreamError where nobody signs in. */
export async function byDevice(config: oidc.Configuration, login: LoginConfig, around: Surroundings): Promise<Tokens> {
  const begun = await oidc.initiateDeviceAuthorization(config, asked(login)).catch((error: unknown) => {
    throw new UpstreamError(`the provider begins no sign-in for a device: ${reasonOf(error)}`, { cause: error });
  });
  const page = printableLine(begun.verification_uri_complete ?? begun.verification_uri);
  around.stderr.write(`Open ${page}\nand check that the code there is ${printableLine(begun.user_code)}\n`);
  const wait = around.wait ?? ((time_ms) => timer(time_ms));
  let interval_ms = Math.min(Math.max(begun.interval ?? interval_s, 1), 60) * 1000;
  let left_ms = Math.min(begun.expires_in, pending_s_max) * 1000;
  for (; left_ms > 0; left_ms -= interval_ms) {
    await wait(interval_ms);
    const answer = await poll(config, begun.device_code);
    if (typeof answer !== 'string') return answer;
    if (answer === 'slow_down') interval_ms += slower_ms;
  }
  throw tooLate();
}

async function poll(config: oidc.Configuration, device_code: string): Promise<Tokens | 'pending' | 'slow_down'> {
  try {
    return await oidc.genericGrantRequest(config, grantType, { device_code });
  } catch (error) {
    const code = error instanceof oidc.ResponseBodyError ? error.error : undefined;
    if (code === 'authorization_pending') return 'pending';
    if (code === 'slow_down') return 'slow_down';
    if (code === 'expired_token') throw tooLate();
    const why = code === 'access_denied' ? 'it was denied at the provider' : reasonOf(error);
    throw new UpstreamError(`nobody was signed in: ${why}`, { cause: error });
  }
}

const tooLate = () =>
  new UpstreamError('nobody was signed in: the code has expired. Begin again with `sallyport login`');
