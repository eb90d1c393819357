import type { Logger } from 'pino';
import type { VaultConfig } from '../../config/index.js';
import type { VaultReference } from '../../elsewhere.js';
import type { Place } from '../place.js';
import { vaultCall } from './call.js';
import { VaultLogin } from './login.js';
import { vaultPlace } from './secret.js';

/** One Vault, and the gateway's own token there. */
export interface Vault {
  place(reference: VaultReference): Place;
  close(): void;
}

export function openVault(config: VaultConfig, { log, now }: { log: Logger; now: () => number }): Vault {
  const call = vaultCall(config);
  const login = new VaultLogin(config.auth, { call, log, now });
  return {
    place: (reference) => vaultPlace(reference, { address: config.address, call, login, now }),
    close: () => login.close(),
  };
}
