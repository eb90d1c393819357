/* eslint-disable no-template-curly-in-string -- ${NAME} is what the file under test says */
import { describe, expect, test } from '@jest/globals';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { loadConfig, printable } from '../../gateway/config/index.js';
import { ConfigError } from '../../gateway/errors.js';
import type { PostgresUpstream } from '../../gateway/protocols/postgres/config.js';
import { ssh } from '../../gateway/protocols/ssh/index.js';
import { makeKey } from '../../gateway/protocols/ssh/library.js';
import { createAuthority } from '../support/certificates.js';
import { inScratch, load, parts, postgres, problems } from './support.js';

const { listen, identity, policy, targets } = parts;
const upstream = (text: string) =>
  `targets:\n  - name: orders\n    protocol: postgres\n    upstream:\n${text
    .split('\n')
    .map((line) => `      ${line}`)
    .join('\n')}\n`;
const server = 'host: db.example\ndatabase: shop\nuser: gateway\n';

describe('a whole file', () => {
  test('the example of the documentation loads; what is not built is named in one warning', () =>
    inScratch(async (folder) => {
      const source = await readFile(new URL('full.yaml', import.meta.url), 'utf8');
      await writeFile(join(folder, 'sallyport.yaml'), source);
      await writeFile(join(folder, 'jwks.json'), '{"keys": []}');
      await mkdir(join(folder, 'policy'));
      const config = await loadConfig(join(folder, 'sallyport.yaml'), {
        env: { UPSTREAM_PASSWORD: 'p:w d' },
        protocols: [postgres],
      });
      expect([...config.listen]).toEqual([
        ['postgres', { host: '127.0.0.1', port: 15432 }],
        ['https', { host: '127.0.0.1', port: 18443 }],
      ]);
      expect(config.policy).toEqual({ directory: join(folder, 'policy') });
      expect(config.state).toEqual({ directory: join(folder, '.sallyport') });
      expect(config.audit).toEqual({
        durability: 'by_action',
        sinks: [{ file: join(folder, 'audit.jsonl') }],
        remote: [],
        rotation: { bytes_max: 1_073_741_824 },
      });
      expect(config.identity).toEqual({
        ownTokens: { issuer: 'https://127.0.0.1:18443' },
        providers: [
          {
            name: 'company',
            issuer: 'http://127.0.0.1:14000',
            jwks: { file: join(folder, 'jwks.json') },
            audience: ['sallyport'],
            algorithms: ['ES256', 'RS256'],
            claims: {
              groups: 'groups',
              roles: 'roles',
              purpose: 'purpose',
              kind: 'kind',
              prompt: 'prompt',
              attributes: ['team'],
            },
            kindDefault: 'service',
          },
        ],
        tokenLifetimeMax_ms: 3_600_000,
        clockSkew_ms: 30_000,
        revocationStrict: false,
        saml: [],
      });
      expect(config.targets).toHaveLength(1);
      expect(config.targets[0]?.input).toEqual({
        name: 'orders',
        protocol: 'postgres',
        labels: { environment: 'production' },
      });
      expect({ ...(config.targets[0]?.upstream as PostgresUpstream) }).toEqual({
        host: '127.0.0.1',
        port: 25432,
        database: 'lk',
        user: 'lk_super',
        password: 'p:w d',
        tls: { mode: 'disable' },
      });
      expect(config.warnings).toEqual([
        'not supported yet, left out: listeners ssh; targets build (ssh), cluster (kubernetes), cloud (http), images (registry), tracker (mcp)',
      ]);
    }));

  test('what a listener says of its bounds is read, and nothing else of them', async () => {
    const bounds = '{connections: 50, strangers: 7, greeting: 500ms, request: 1m30s, stalled: 30d}';
    const config = await load(`listen: {postgres: {address: "127.0.0.1:0", bounds: ${bounds}}}\n${identity}${policy}`);
    expect(config.listen.get('postgres')?.bounds).toEqual({
      ...{ connections_max: 50, strangers_max: 7, greeting_ms_max: 500, request_ms_max: 90_000 },
      // What a timer holds.
      stalled_ms_max: 2_147_483_647,
    });
    const none = await problems(
      `listen: {postgres: {address: "127.0.0.1:0", bounds: {connections: 0, greeting: soon}}}\n${identity}${policy}`,
    );
    expect(none.join()).toMatch(/bounds\.connections.*bounds\.greeting.*is no duration/u);
  });

  test('with SSH built, a host is read with its key, and nothing of it is left out', async () => {
    const key = makeKey().private;
    const config = await load(
      `listen: {ssh: {address: "127.0.0.1:0", host_key: {file: ./id}}}\n${identity}${policy}targets:
  - name: build
    protocol: ssh
    upstream: {host: build.internal, user: deploy, private_key: {file: ./id}, host_key: "SHA256:${'A'.repeat(43)}"}
`,
      { protocols: [ssh], files: { id: key } },
    );
    expect(config.warnings).toEqual([]);
    expect(config.listen.get('ssh')?.hostKey).toContain('PRIVATE KEY');
    expect(config.targets[0]?.upstream).toMatchObject({ host: 'build.internal', port: 22, user: 'deploy' });
  });

  test.each([
    ['no key to know it by', 'private_key: {file: ./id}', 'the host would have to be trusted blindly'],
    ['nothing to log in with', `host_key: "SHA256:${'A'.repeat(43)}"`, 'give private_key, password or certificate'],
    ['a private key that is none', 'private_key: {file: ./none}, known_hosts: {file: ./none}', 'cannot be read'],
  ])('a host with %s is not available, and says what to give', async (_what, keys, said) => {
    const text = `listen: {ssh: "127.0.0.1:0"}\n${identity}${policy}targets:
  - name: build
    protocol: ssh
    upstream: {host: build.internal, user: deploy, ${keys}}
`;
    const files = { id: makeKey().private, none: 'nothing' };
    const {
      targets: [target],
    } = await load(text, { protocols: [ssh], files });
    expect(target?.unavailable).toContain(said);
  });

  test('without any protocol built, it still loads', async () => {
    const config = await load(listen + identity + policy + targets, { protocols: [] });
    expect(config.targets).toEqual([]);
    expect(config.warnings).toEqual(['not supported yet, left out: listeners postgres; targets orders (postgres)']);
  });

  test('a file that is missing says how to name one', async () => {
    const refused = expect(loadConfig('/nowhere/sallyport.yaml', { env: {}, protocols: [] })).rejects;
    await refused.toBeInstanceOf(ConfigError);
    await refused.toHaveProperty(
      'message',
      'the configuration file /nowhere/sallyport.yaml does not exist; name one with --config',
    );
  });

  test('an empty file says what is missing', async () => {
    expect(await problems('')).toEqual(['1:1: "identity" is missing', '1:1: "policy" is missing']);
  });
});

describe('problems stand with line and column', () => {
  test.each([
    ['a misspelt key', listen + identity + policy + 'polcy: 1\n', '11:1: polcy: unknown key; did you mean "policy"?'],
    [
      'a key that resembles none',
      listen + identity + policy + 'state: {colour: red}\n',
      '11:9: state.colour: unknown key; known here: directory, postgres',
    ],
    [
      'a misspelt key of the upstream',
      listen + identity + policy + upstream(`${server}prot: 1`),
      '18:7: targets[0].upstream.prot: unknown key; did you mean "port"?',
    ],
    [
      'a duplicate key',
      listen + identity + policy + policy,
      '11:1: the key stands twice in the same mapping; remove one',
    ],
    [
      'a number where text belongs',
      listen + identity + policy + upstream(`${server}password: 12345`),
      '18:17: targets[0].upstream.password: must be a string, or {file: PATH}, or {vault: {path: …, field: …}}, or {command: […]}',
    ],
    [
      'a label that is no text',
      listen + identity + policy + targets + '    labels: {tier: 1}\n',
      '15:20: targets[0].labels.tier: must be a string, not a number; put it in quotes',
    ],
    [
      'an unknown protocol',
      listen + identity + policy + targets.replace('protocol: postgres', 'protocol: postgers'),
      '13:15: targets[0].protocol: "postgers" is not one of postgres, ssh, kubernetes, http, registry, mcp; did you mean "postgres"?',
    ],
    [
      'an algorithm that is not allowed',
      listen + identity + '      algorithms: [HS256]\n' + policy,
      '9:20: identity.providers[0].algorithms[0]: "HS256" is not one of ES256, ES384, ES512, EdDSA, Ed25519, PS256, PS384, PS512, RS256, RS384, RS512; did you mean "ES256"?',
    ],
    [
      'an address without a port',
      'listen: {postgres: localhost}\n' + identity + policy,
      '1:20: listen.postgres: "localhost" is no address; write HOST:PORT, as in 127.0.0.1:5432 or [::1]:5432',
    ],
    [
      'an IPv6 address without brackets',
      'listen: {postgres: "::1:5432"}\n' + identity + policy,
      '1:20: listen.postgres: "::1:5432" is no address; write HOST:PORT, as in 127.0.0.1:5432 or [::1]:5432',
    ],
    [
      'a port that does not exist',
      'listen: {postgres: "localhost:70000"}\n' + identity + policy,
      '1:20: listen.postgres: there is no port 70000; the highest is 65535',
    ],
    [
      'a listener as a mapping with a mistake in it',
      'listen: {postgres: {adress: "localhost:1"}}\n' + identity + policy,
      '1:21: listen.postgres.adress: unknown key; did you mean "address"?',
    ],
    [
      'two listeners at one address',
      'listen: {postgres: "localhost:1", ssh: "localhost:1"}\n' + identity + policy,
      '1:40: listen.ssh: listen.postgres has the same address',
    ],
    [
      'a duration that is none',
      listen + identity + '  token_lifetime_max: 1 hour\n' + policy,
      '9:23: identity.token_lifetime_max: "1 hour" is no duration; write 30s, 15m, 1h or 1h30m',
    ],
    [
      'two targets of one name',
      listen + identity + policy + targets + targets.replace('targets:\n', ''),
      '15:11: targets[1].name: another target has the same name',
    ],
    [
      'a policy folder that is missing',
      listen + identity + 'policy: {directory: /nowhere/policy}\n',
      '9:21: policy.directory: the folder /nowhere/policy does not exist',
    ],
    [
      'a repository that is missing',
      listen + identity + 'policy: {git: {url: /nowhere/policy}}\n',
      '9:21: policy.git.url: the repository /nowhere/policy does not exist',
    ],
    [
      'a branch that would be an option of git',
      listen + identity + 'policy: {git: {url: ., branch: --upload-pack=x}}\n',
      '9:32: policy.git.branch: "--upload-pack=x" is no branch name',
    ],
    [
      'a path that leaves the repository',
      listen + identity + 'policy: {git: {url: ., path: ../x}}\n',
      '9:30: policy.git.path: "../x" must be a path inside the repository, without ".."',
    ],
    [
      'keys that are missing',
      listen + identity + policy + 'targets:\n  - name: orders\n    protocol: postgres\n    upstream: {host: db}\n',
      '14:5: targets[0].upstream: "database" is missing',
    ],
    [
      'a key file that is missing',
      listen + identity + '      jwks: {file: /nowhere/jwks.json}\n' + policy,
      '9:20: identity.providers[0].jwks.file: the file /nowhere/jwks.json does not exist',
    ],
    [
      'discovery without TLS',
      listen + identity.replace('https:', 'http:') + policy,
      '7:15: identity.providers[0].issuer: keys are discovered there, so it must be https:// (http:// only on loopback); or give jwks: {file: …}',
    ],
    [
      'signing, which would be promised and not kept',
      listen + identity + 'policy:\n  directory: .\n  signing: {required: true}\n',
      '11:3: policy.signing: a folder has no signatures; take the policy from git, or remove the key',
    ],
    [
      "a bundle's key in the place of a commit's",
      listen + identity + 'policy:\n  bundle: {url: https://b.example/p.tar.gz}\n  signing: {keys: []}\n',
      "11:3: policy.signing: a bundle's keys stand in policy.bundle.signing",
    ],
    [
      "a bundle's key that is none",
      listen +
        identity +
        'policy:\n  bundle:\n    url: https://b.example/p.tar.gz\n    signing: {keys: [{key: {file: ./sallyport.yaml}}]}\n',
      '12:28: policy.bundle.signing.keys[0].key: is no public key in PEM',
    ],
  ])('%s', async (_, source, expected) => {
    expect(await problems(source)).toContain(expected);
  });

  test('every problem is listed, in the order of the file', async () => {
    const found = await problems(`listn: {}\n${identity}${policy}state: 1\ntargets: {}\n`);
    expect(found).toEqual([
      '1:1: listn: unknown key; did you mean "listen"?',
      '10:8: state: must be a mapping, not a number',
      '11:10: targets: must be a list, not a mapping',
    ]);
  });
});

describe('references', () => {
  test('a variable is put in as text, whatever it holds', async () => {
    const config = await load(listen + identity + policy + upstream(`${server}password: \${DB_PASSWORD}`), {
      env: { DB_PASSWORD: '"}\n[evil]: $${X}' },
    });
    expect((config.targets[0]?.upstream as PostgresUpstream).password).toBe('"}\n[evil]: $${X}');
  });

  test('$${ stands for ${ itself', async () => {
    const config = await load(listen + identity + policy + upstream(`${server}password: a$\${b}`));
    expect((config.targets[0]?.upstream as PostgresUpstream).password).toBe('a${b}');
  });

  test('a whole number may come from a variable', async () => {
    const config = await load(listen + identity + policy + upstream(`${server}port: \${DB_PORT}`), {
      env: { DB_PORT: '6432' },
    });
    expect((config.targets[0]?.upstream as PostgresUpstream).port).toBe(6432);
  });

  test('a file loses its last line end, and nothing else', async () => {
    const config = await load(listen + identity + policy + upstream(`${server}password: {file: secret}`), {
      files: { secret: ' two\nlines \r\n' },
    });
    expect((config.targets[0]?.upstream as PostgresUpstream).password).toBe(' two\nlines ');
  });

  test.each([
    [
      'a variable that is not set',
      'password: ${NOT_SET}',
      /^the environment variable NOT_SET \(upstream\.password\) is not set, or empty$/u,
    ],
    ['a variable that is empty', 'password: ${EMPTY}', /^the environment variable EMPTY \(upstream\.password\)/u],
    [
      'a number from a variable that is not set',
      'port: ${NOT_SET}',
      /^the environment variable NOT_SET \(upstream\.port\)/u,
    ],
    ['a file that is missing', 'password: {file: nowhere}', /^the file .*nowhere does not exist$/u],
    ['a file that is empty', 'password: {file: empty}', /^the file .*empty is empty$/u],
    [
      'an authority that is none',
      'tls: {mode: verify-full, ca: {file: text}}',
      /^the file of tls\.ca holds no certificate/u,
    ],
  ])('%s makes its own target unavailable, and no other', async (_, line, expected) => {
    const two = upstream(server + line) + targets.replace('targets:\n', '').replace('orders', 'other');
    const config = await load(listen + identity + policy + two, {
      env: { EMPTY: '' },
      files: { empty: '', text: 'no certificate' },
    });
    expect(config.targets[0]?.unavailable).toMatch(expected);
    expect(config.targets[0]?.upstream).toBeUndefined();
    expect(config.targets[1]).not.toHaveProperty('unavailable');
    expect(config.warnings.join()).toMatch(/^target orders cannot be used: /u);
  });

  test('outside an upstream, a variable that is not set stops the start', async () => {
    expect(await problems(listen + identity.replace('sallyport', '${AUDIENCE}') + policy)).toEqual([
      '8:17: identity.providers[0].audience: the environment variable AUDIENCE is not set, or empty',
    ]);
  });

  test('a ${ that is no reference is not guessed at', async () => {
    expect(await problems(listen + identity + policy + upstream(`${server}password: \${A:-b}`))).toEqual([
      '18:17: targets[0].upstream.password: has a "${" that starts no ${NAME}; write $${ where the two characters themselves are meant',
    ]);
  });
});

describe('the upstream of a Postgres target', () => {
  const read = async (text: string) =>
    (await load(listen + identity + policy + upstream(text), { files: { ca } })).targets[0]
      ?.upstream as PostgresUpstream;
  const ca = createAuthority().certificate;

  test.each(['127.0.0.1', '127.8.9.10', '::1', 'localhost', '/run/postgresql'])('%s needs no TLS', async (host) => {
    const { tls, port } = await read(`host: "${host}"\ndatabase: shop\nuser: gateway`);
    expect({ tls, port }).toEqual({ tls: { mode: 'disable' }, port: 5432 });
  });

  test('off loopback the server is verified unless the file says otherwise', async () => {
    expect((await read(server)).tls).toEqual({ mode: 'verify-full' });
    expect((await read(`${server}tls: require`)).tls).toEqual({ mode: 'require' });
    expect((await read(`${server}tls: {mode: verify-full, ca: {file: ca}, server_name: db}`)).tls).toEqual({
      mode: 'verify-full',
      ca: ca.trimEnd(),
      serverName: 'db',
    });
  });

  test.each(['disable', '{mode: disable}'])('off loopback, tls: %s is refused', async (tls) => {
    for (const host of ['db.example', '127.0.0.1.example', 'localhost.example', '10.0.0.1', '0.0.0.0']) {
      const found = await problems(
        listen + identity + policy + upstream(`host: ${host}\ndatabase: shop\nuser: gateway\ntls: ${tls}`),
      );
      expect(found.join()).toMatch(/^18:12: targets\[0\]\.upstream\.tls: .*disable is for loopback only/u);
    }
  });

  test('an authority that nothing would look at is refused', async () => {
    const found = await problems(
      listen + identity + policy + upstream(`${server}tls: {mode: require, ca: {file: ca}}`),
    );
    expect(found).toEqual([
      '18:32: targets[0].upstream.tls.ca: it is only looked at by mode: verify-full; choose that mode, or leave it out',
    ]);
  });
});

test('a state that is shared, with keys for tickets that are not, is warned of', async () => {
  const state = 'state: {postgres: "postgres://a:b@127.0.0.1:1/c"}\n';
  const { warnings } = await load(`${identity}${policy}${targets}${state}`);
  expect(warnings).toContainEqual(expect.stringContaining('identity.own_tokens.keys is not given'));
});

describe('the certificate of a listener', () => {
  const tls = 'listen: {postgres: {address: "0.0.0.0:1", tls: {certificate: {file: c}, key: {file: k}}}}\n';
  const first = createAuthority();
  const second = createAuthority();

  test('is read', async () => {
    const config = await load(tls + identity + policy + targets, { files: { c: first.certificate, k: first.key } });
    expect(config.listen.get('postgres')?.tls).toEqual({ certificate: first.certificate, key: first.key });
    expect(config.warnings).toEqual([]);
  });

  test('stops the start where it is missing, no certificate, or of another key', async () => {
    expect(await problems(tls + identity + policy, { files: { c: first.certificate } })).toEqual([
      expect.stringMatching(/^1:85: listen\.postgres\.tls\.key\.file: the file .*k does not exist$/u),
    ]);
    expect(await problems(tls + identity + policy, { files: { c: 'x', k: first.key } })).toEqual([
      expect.stringMatching(/^1:43: listen\.postgres\.tls: .* must be PEM files/u),
    ]);
    expect(await problems(tls + identity + policy, { files: { c: first.certificate, k: second.key } })).toEqual([
      '1:43: listen.postgres.tls: certificate and key cannot be used: the key is not that of the certificate',
    ]);
  });

  test('is missed off loopback', async () => {
    const config = await load(listen.replace('127.0.0.1', '0.0.0.0') + identity + policy + targets);
    expect(config.warnings.join()).toMatch(/^listen\.postgres has no tls/u);
  });
});

describe('secrets', () => {
  const secret = 'correct horse battery staple';
  const source = listen + identity + policy + upstream(`${server}password: ${secret}`);

  test('are in no dump of the configuration', async () => {
    const config = await load(source);
    expect((config.targets[0]?.upstream as PostgresUpstream).password).toBe(secret);
    for (const dump of [
      JSON.stringify(config),
      JSON.stringify(config.targets),
      JSON.stringify(printable(config)),
      inspect(config, { depth: 9 }),
      inspect(config.targets, { depth: 9 }),
    ]) {
      expect(dump).not.toContain(secret);
      expect(dump).toContain('***');
      expect(dump).toContain('db.example');
    }
  });

  test.each([
    ['YAML that does not parse', `${source}      ? {`],
    ['an alias', source.replace(secret, `*${secret}`)],
    ['a tag', source.replace(secret, `!${secret.replaceAll(' ', '')}`)],
    ['a list in the place of the secret', source.replace(secret, `[${secret}]`)],
    ['a mode taken from the environment', source.replace(`password: ${secret}`, 'tls: ${SECRET}')],
    ['a host taken from the environment', source.replace(`password: ${secret}`, 'port: ${SECRET}')],
  ])('are in no error: %s', async (_, text) => {
    const found = (await problems(text, { env: { SECRET: secret } })).join('\n');
    expect(found).toMatch(/^\d+:\d+: /u);
    for (const word of secret.split(' ')) expect(found).not.toContain(word);
  });
});

describe('the key of masks', () => {
  const whole = Object.values(parts).join('');

  test('is read from a file or the environment, and shown nowhere', async () => {
    const key = 'f'.repeat(64);
    const config = await load(`${whole}masks: {key: {file: mask.key}}\n`, { files: { 'mask.key': `${key}\n` } });
    expect(config.masks).toEqual({ key });
    expect(JSON.stringify(config)).not.toContain(key);
    const other = await load(`${whole}masks: {key: "\${MASK_KEY}"}\n`, { env: { MASK_KEY: key } });
    expect(other.masks).toEqual({ key });
    expect((await load(whole)).masks).toEqual({});
  });

  test('stops the start where it is missing or could be guessed', async () => {
    expect(await problems(`${whole}masks: {key: {file: mask.key}}\n`)).toEqual([
      expect.stringMatching(/masks\.key: the file .*mask\.key does not exist$/),
    ]);
    expect(await problems(`${whole}masks: {key: too short}\n`)).toEqual([
      expect.stringContaining('masks.key: has fewer than 32 characters'),
    ]);
    expect(await problems(`${whole}masks: {kee: x}\n`)).toEqual([expect.stringContaining('did you mean "key"')]);
  });
});
