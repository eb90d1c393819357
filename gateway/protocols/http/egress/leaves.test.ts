import { describe, expect, test } from '@jest/globals';
import { createAuthority } from '../../../../test/support/certificates.js';
import { Leaves } from './leaves.js';

const day_ms = 86_400_000;

describe('a certificate for a host', () => {
  test('is made once, as long as the authority holds, and be that for an hour', async () => {
    // Good until tomorrow.
    for (const before_ms of [day_ms / 2, day_ms / 24, 60_000]) {
      const leaves = new Leaves(createAuthority(), () => Date.now() + day_ms - before_ms);
      expect(await leaves.contextFor('api.example')).toBe(await leaves.contextFor('api.example'));
    }
  });

  test('is made after a failure', async () => {
    const authority = createAuthority();
    let reads = 0;
    const leaves = new Leaves({
      key: authority.key,
      get certificate() {
        return reads++ === 0 ? 'nothing yet' : authority.certificate;
      },
    });
    await expect(leaves.contextFor('api.example')).rejects.toThrow();
    expect(await leaves.contextFor('api.example')).toBeDefined();
  });
});
