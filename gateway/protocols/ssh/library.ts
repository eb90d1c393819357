/** The library is CommonJS: its values are had by its default export alone. Types are imported from `ssh2` itself. */
import ssh2 from 'ssh2';

export const { Client, Server, utils } = ssh2;

/**
 * A new Ed25519 key in OpenSSH's form. The library drops a zero at the beginning of the public half, so that one of 256 keys
 * that it makes cannot be read, by itself or by OpenSSH: such a key is thrown away.
 */
export function makeKey(): { readonly private: string; readonly public: string } {
  for (;;) {
    const pair = utils.generateKeyPairSync('ed25519');
    if (readable(pair.private) && readable(pair.public)) return pair;
  }
}

function readable(key: string): boolean {
  try {
    return !(utils.parseKey(key) instanceof Error);
  } catch {
    return false;
  }
}
