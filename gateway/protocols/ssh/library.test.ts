import { expect, test } from '@jest/globals';
import { makeKey, utils } from './library.js';

test('every key that is made can be read, and is the same in both halves', () => {
  // One of 256 that the library makes cannot.
  for (let each = 0; each < 1_000; each++) {
    const { private: secret, public: open } = makeKey();
    const [one, other] = [utils.parseKey(secret), utils.parseKey(open)];
    if (one instanceof Error || other instanceof Error) throw new Error('a key cannot be read');
    expect(one.getPublicSSH().equals(other.getPublicSSH())).toBe(true);
  }
});
