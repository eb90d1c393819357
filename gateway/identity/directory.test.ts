import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createIdentityProvider, type IdentityProvider } from '../../test/support/idp.js';
import type { DirectoryConfig } from '../config/index.js';
import { groupsOf, readDirectory } from './directory.js';
import { createIdentity, type Identities } from './index.js';

let folder: string;
let file: string;
let idp: IdentityProvider;
let now_ms: number;
let identities: Identities | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sallyport-directory-'));
  file = join(folder, 'groups.yaml');
  idp = await createIdentityProvider();
  await idp.writeJwks(join(folder, 'jwks.json'));
  now_ms = Date.now();
});
afterEach(async () => {
  identities?.close();
  await rm(folder, { recursive: true, force: true });
});

function open(directory: DirectoryConfig): Identities {
  const names = {
    groups: 'groups',
    roles: 'roles',
    purpose: 'purpose',
    kind: 'kind',
    prompt: 'prompt',
    attributes: [],
  };
  identities = createIdentity({
    providers: [
      {
        name: 'tests',
        issuer: idp.issuer,
        jwks: { file: join(folder, 'jwks.json') },
        audience: [idp.audience],
        algorithms: ['ES256'],
        claims: names,
        kindDefault: 'human',
        directory,
      },
    ],
    tokenLifetimeMax_ms: 3_600_000,
    clockSkew_ms: 30_000,
    now: () => now_ms,
  });
  return identities;
}

const groups = (...list: [string, unknown[]][]) =>
  JSON.stringify({ groups: list.map(([displayName, members]) => ({ displayName, members })) });

describe('a file of groups', () => {
  test('adds to what a token says, through groups in groups, and is read again when it changes', async () => {
    await writeFile(file, groups(['dba', [{ value: 'oncall', type: 'Group' }]], ['oncall', ['ada']]));
    const identity = open({ file });
    const token = await idp.issueToken({ subject: 'ada', groups: ['staff'] });
    expect((await identity.identify(token)).principal.groups).toEqual(['staff', 'oncall', 'dba']);
    const other = await idp.issueToken({ subject: 'stranger', groups: ['staff'] });
    expect((await identity.identify(other)).principal.groups).toEqual(['staff']);
    await writeFile(file, groups(['dba', ['grace']]));
    now_ms += 1_001;
    // The same token, which was remembered.
    expect((await identity.identify(token)).principal.groups).toEqual(['staff']);
  });

  test('that is damaged leaves the one before in force for a while, and then nobody signs in', async () => {
    await writeFile(file, groups(['dba', ['ada']]));
    const identity = open({ file });
    const token = await idp.issueToken({ subject: 'ada', groups: [], expiresIn: 3_000 });
    await identity.identify(token);
    await writeFile(file, '{"groups": [{"displayName": "dba", "memb');
    now_ms += 1_001;
    expect((await identity.identify(token)).principal.groups).toEqual(['dba']);
    now_ms += 600_001;
    await expect(identity.identify(token)).rejects.toMatchObject({ reason: 'directory' });
    await writeFile(file, groups(['dba', []]));
    now_ms += 1_001;
    expect((await identity.identify(token)).principal.groups).toEqual([]);
  });

  test('that was never there lets nobody in', async () => {
    await expect(open({ file }).identify(await idp.issueToken())).rejects.toMatchObject({ reason: 'directory' });
  });
});

test('a URL is asked with its token, as often as is configured', async () => {
  const asked: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers.authorization);
    response.end(
      JSON.stringify({
        totalResults: 2,
        Resources: [
          { id: 'g1', displayName: 'dba', members: [{ value: 'g2', type: 'Group' }] },
          { id: 'g2', displayName: 'oncall', members: [{ value: 'ada', type: 'User' }, { value: 'eve' }] },
        ],
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/Groups`;
    const identity = open({ url, token: 'secret', refresh_ms: 60_000 });
    const token = await idp.issueToken({ subject: 'ada', groups: [] });
    expect((await identity.identify(token)).principal.groups).toEqual(['oncall', 'dba']);
    // Nobody says whether that member is a user: it is in no group.
    const eve = await idp.issueToken({ subject: 'eve', groups: [] });
    expect((await identity.identify(eve)).principal.groups).toEqual([]);
    await identity.identify(token);
    expect(asked).toEqual(['Bearer secret']);
    now_ms += 60_001;
    await identity.identify(token);
    expect(asked).toHaveLength(2);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

describe('membership', () => {
  const inner = (value: string) => ({ value, type: 'Group' });

  test('goes through circles once, and groups that are not there are nobody', () => {
    const circle = groups(['a', [inner('b'), 'ada']], ['b', [inner('a'), inner('gone')]], ['self', [inner('self')]]);
    expect(groupsOf(readDirectory(circle), 'ada')).toEqual(['a', 'b']);
    expect(groupsOf(readDirectory(circle), 'gone')).toEqual([]);
    // A group's name is no subject, and the other way round.
    expect(groupsOf(readDirectory(circle), 'a')).toEqual([]);
  });

  test('of one subject in too many groups is refused, not cut off', () => {
    const many = Array.from({ length: 1_001 }, (_, index): [string, unknown[]] => [`g${index}`, ['ada']]);
    expect(() => groupsOf(readDirectory(groups(...many)), 'ada')).toThrow(/more than 1000/u);
  });

  test.each([
    ['no list', '{}', /no list "groups"/u],
    ['a group twice', groups(['a', []], ['a', []]), /twice/u],
    ['a group without a name', '{"groups": [{}]}', /displayName/u],
    ['a member without a name', groups(['a', [{}]]), /value/u],
    ['a member of another type', groups(['a', [{ value: 'x', type: 'Robot' }]]), /Robot/u],
    ['members that are no list', '{"groups": [{"displayName": "a", "members": "all"}]}', /no list/u],
    ['one page of several', '{"totalResults": 5, "Resources": []}', /one page/u],
  ])('of %s is refused whole', (_, text, why) => {
    expect(() => readDirectory(text)).toThrow(why);
  });
});
