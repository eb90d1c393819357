import { expect, test } from '@jest/globals';
import { string, uint32 } from '../../openssh/index.js';
import type { Packet } from './codec.js';
import { fileOperation } from './operation.js';
import { readPathRequest, type PathRequest } from './sftp-requests.js';

const read = 1;
const write = 2;
const append = 4;
const create = 8;

function open(flags: number): PathRequest | undefined {
  const rest = Buffer.concat([Buffer.of(3), uint32(7), string('/srv/notes'), uint32(flags), uint32(0)]);
  const packet: Packet = { type: 3, id: 7, bytes: Buffer.concat([uint32(rest.length), rest]) };
  return readPathRequest(packet);
}

test('what is opened without a word of reading or writing is read, as servers open it so', () => {
  expect(open(0)).toMatchObject({ action: 'read', access: 'read', flags: ['read'] });
  expect(open(read)).toMatchObject({ action: 'read', access: 'read', flags: ['read'] });
  for (const flags of [append, create, append | create])
    expect(open(flags)).toMatchObject({ action: 'write', access: 'update', alsoReads: true });
  expect(open(write | append)?.alsoReads).toBeUndefined();
});

test('what is opened to be read and changed is judged as both', () => {
  const { operation, action, access, paths, flags, alsoReads } = open(read | write)!;
  const place = { user: 'deploy', host: 'build.internal:22' };
  const judged = fileOperation(place, {
    ...{ operation, action, access, path: paths[0]! },
    ...(flags === undefined ? {} : { flags }),
    ...(alsoReads === undefined ? {} : { alsoReads }),
  });
  expect(judged.resources).toEqual([
    { type: 'file', name: '/srv/notes', access: 'update' },
    { type: 'file', name: '/srv/notes', access: 'read' },
  ]);
});

test('flags that nobody knows are refused', () => {
  for (const flags of [0x40, 0x41, 0x8000_0001]) expect(() => open(flags)).toThrow('flags that are not known');
});
