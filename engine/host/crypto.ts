import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ofStrings, type Table } from './builtin.js';

/** Digests, as hexadecimal. */
const digest = (algorithm: string) => ofStrings((text) => createHash(algorithm).update(text).digest('hex'));
const keyed = (algorithm: string) => ofStrings((text, key) => createHmac(algorithm, key).update(text).digest('hex'));

export const crypto: Table = {
  'crypto.hmac.equal': ofStrings((left, right) => {
    const [mine, theirs] = [Buffer.from(left), Buffer.from(right)];
    return mine.length === theirs.length && timingSafeEqual(mine, theirs);
  }),
  'crypto.hmac.md5': keyed('md5'),
  'crypto.hmac.sha1': keyed('sha1'),
  'crypto.hmac.sha256': keyed('sha256'),
  'crypto.hmac.sha512': keyed('sha512'),
  'crypto.md5': digest('md5'),
  'crypto.sha1': digest('sha1'),
  'crypto.sha256': digest('sha256'),
};
