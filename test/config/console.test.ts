import { describe, expect, test } from '@jest/globals';
import { inspect } from 'node:util';
import { load, parts, problems } from './support.js';

const listen = 'listen:\n  postgres: 127.0.0.1:0\n  https: 127.0.0.1:0\n';
const base = listen + parts.identity + parts.policy + parts.targets;
const signIn = (body: string) => `${base}console:\n  sign_in: ${body}\n`;

describe('how people sign in to the console', () => {
  test('through the only provider, as a client that has a secret or none', async () => {
    const { console: read } = await load(signIn('{client_id: sallyport-console, scopes: [profile, openid]}'));
    expect(read.sign_in).toMatchObject({ client_id: 'sallyport-console', scopes: ['openid', 'profile'] });
    expect(read.sign_in?.provider.issuer).toBe('https://idp.example');
    expect(read.sign_in).not.toHaveProperty('client_secret');
  });

  test('its secret comes from the environment or a file, and is never printed', async () => {
    const env = { CONSOLE_SECRET: 'correct horse battery' };
    const fromEnv = await load(signIn(`{client_id: c, client_secret: "\${CONSOLE_SECRET}"}`), { env });
    expect(fromEnv.console.sign_in?.client_secret).toBe('correct horse battery');
    const files = { secret: 'correct horse battery\n' };
    const fromFile = await load(signIn('{client_id: c, client_secret: {file: secret}}'), { files });
    expect(fromFile.console.sign_in?.client_secret).toBe('correct horse battery');
    expect(inspect(fromFile, { depth: 9 }) + JSON.stringify(fromFile)).not.toContain('horse');
  });

  test.each([
    ['{client_id: c, provider: other}', 'console.sign_in.provider: there is no provider "other"; there is company'],
    ['{client_id: c, client_secret: {file: none}}', 'console.sign_in.client_secret: the file'],
    ['{client_id: c, scopes: ["a b"]}', 'console.sign_in.scopes[0]: "a b" is no scope'],
    ['{client_id: c, clientsecret: x}', 'clientsecret'],
    ['{provider: company}', 'client_id'],
  ])('%s is refused with its place', async (body, message) => {
    const [problem, ...others] = await problems(signIn(body));
    expect(others).toEqual([]);
    expect(problem).toMatch(/^\d+:\d+: /);
    expect(problem).toContain(message);
  });

  test('it is said which provider, where there are two, and that one can be asked over TLS', async () => {
    const second = `${base.replace('policy:', '    - {name: lab, type: oidc, issuer: "http://lab.example", jwks: {file: jwks}, audience: a}\npolicy:')}console:\n`;
    const files = { jwks: '{"keys": []}' };
    expect(await problems(`${second}  sign_in: {client_id: c}\n`, { files })).toEqual([
      expect.stringContaining('console.sign_in: say which: company, lab'),
    ]);
    expect(await problems(`${second}  sign_in: {client_id: c, provider: lab}\n`, { files })).toEqual([
      expect.stringContaining('console.sign_in.provider: its issuer must be https://'),
    ]);
  });

  test('without a listener for it there is no console', async () => {
    expect(await problems(signIn('{client_id: c}').replace(listen, parts.listen))).toEqual([
      expect.stringContaining('console.sign_in: the console is served at listen.https, which is not there'),
    ]);
  });

  test('links to policy are https', async () => {
    expect(await problems(`${base}console:\n  policy_link: "javascript:alert(1)"\n`)).toEqual([
      expect.stringContaining('must be an https:// address, as in https://git.example'),
    ]);
  });
});
