import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Value } from 'typebox/value';
import ssh2, { type Client, type ClientChannel, type SFTPWrapper } from 'ssh2';
import { SshUpstreamSchema } from '../../gateway/protocols/ssh/config.js';
import { makeKey } from '../../gateway/protocols/ssh/library.js';
import { startSshd } from '../clients/ssh/sshd.js';
import { clientTest } from '../clients/support.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';

/** The gateway logs in at a real host with certificates that it makes for one session each. */

const group = 'a certificate at the host';

async function open(gateway: TestGateway, target: string): Promise<Client> {
  const client = new ssh2.Client();
  const password = await gateway.token();
  return new Promise((resolve, reject) => {
    client
      .on('ready', () => resolve(client))
      .on('error', reject)
      .connect({ host: gateway.host, port: gateway.port, username: target, password });
  });
}

function run(client: Client, command: string, pty = false): Promise<{ code: number | null; said: string }> {
  return new Promise((resolve, reject) => {
    client.exec(command, { pty }, (error: Error | undefined, channel: ClientChannel) => {
      if (error) return reject(error);
      let said = '';
      let code: number | null = null;
      channel.on('exit', (given: number | null) => (code = given));
      channel.on('data', (chunk: Buffer) => (said += chunk.toString()));
      channel.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
      channel.once('close', () => resolve({ code, said }));
    });
  });
}

describe(group, () => {
  clientTest(
    group,
    "logs in at OpenSSH's server, with commands, a terminal and files, as a principal that it trusts",
    async () => {
      const folder = await realpath(await mkdtemp(join(tmpdir(), 'sallyport-minted-')));
      const authority = makeKey();
      await writeFile(join(folder, 'authorities'), `${authority.public}\n`);
      await writeFile(join(folder, 'principals'), 'gateway\n');
      const sshd = await startSshd(folder, [
        `TrustedUserCAKeys ${join(folder, 'authorities')}`,
        `AuthorizedPrincipalsFile ${join(folder, 'principals')}`,
      ]);
      const target = (name: string, key: string, principals?: string[]) => ({
        ...{ name, protocol: 'ssh' },
        upstream: {
          ...{ host: sshd.host, port: sshd.port, user: sshd.user, host_key: sshd.fingerprint },
          certificate: { authority: key, ...(principals === undefined ? {} : { principals }) },
        },
      });
      const gateway = await startTestGateway({
        protocol: 'ssh',
        policy: { 'ssh.rego': 'package policy.ssh\n\nallow contains {"code": "everything"} if input.version == 1\n' },
        config: {
          listen: { ssh: '127.0.0.1:0' },
          targets: [
            target('good', authority.private, ['gateway']),
            target('other', authority.private, ['somebody']),
            target('stranger', makeKey().private, ['gateway']),
          ],
        },
      });
      try {
        const client = await open(gateway, 'good');
        expect(await run(client, 'echo hello; exit 3')).toEqual({ code: 3, said: 'hello\n' });
        expect(await run(client, 'test -t 0 && echo a terminal', true)).toMatchObject({
          code: 0,
          said: 'a terminal\r\n',
        });
        const sftp = await new Promise<SFTPWrapper>((resolve, reject) =>
          client.sftp((error, opened) => (error ? reject(error) : resolve(opened))),
        );
        const read = await new Promise((resolve, reject) =>
          sftp.readFile(join(folder, 'principals'), (error, content) =>
            error ? reject(error) : resolve(String(content)),
          ),
        );
        expect(read).toBe('gateway\n');
        client.end();
        for (const name of ['other', 'stranger']) {
          const refused = await open(gateway, name);
          const { code, said } = await run(refused, 'echo hello');
          expect(code).toBe(126);
          expect(said).toContain('does not let');
          refused.end();
        }
      } finally {
        await gateway.close();
        await sshd.close();
        await rm(folder, { recursive: true, force: true });
      }
    },
  );
});

test('what cannot vouch for a login is refused with the configuration', () => {
  const authority = makeKey().private;
  const known = `@cert-authority host.example ${makeKey().public}`;
  const read = (more: object) => () =>
    Value.Decode(SshUpstreamSchema, {
      ...{ host: 'host.example', user: 'root', host_key: `SHA256:${'A'.repeat(43)}` },
      ...more,
    });
  expect(read({ certificate: { authority } })()).toMatchObject({
    authority: { principals: ['root'], lifetime_s: 300 },
  });
  expect(read({ certificate: { authority: 'nothing' } })).toThrow('certificate.authority cannot be read');
  expect(read({ certificate: { authority: makeKey().public } })).toThrow('has to be a private Ed25519 key');
  expect(read({ certificate: { authority }, private_key: authority })).toThrow('two ways to log in');
  expect(read({ password: 'x', known_hosts: known })).toThrow('give a key of the host itself');
});
