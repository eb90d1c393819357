import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { apiServer, kubeconfig, shows } from '../support/api-server.js';
import { createContainer, type Container } from '../support/container.js';
import { startWeb, type Web } from '../support/web.js';
import { clientTest, runProgram } from './support.js';

/** kubectl as it is, against a gateway: what it prints, and its exit code. */

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

deny contains {"code": "pods_stay", "message": "pods of agents stay as they are"} if {
  input.operation.action == "write"
  kubernetes.resource == "pods"
}

deny contains {"code": "shells", "message": "no shells in containers"} if kubernetes.shell

approval contains {"code": "removals_wait", "groups": ["operators"]} if input.operation.action == "delete"

mask contains {"code": "secret", "resource": "secrets:data", "with": "redact"} if kubernetes.secrets
`,
};

const group = 'kubectl, through the gateway,';

describe(group, () => {
  let web: Web;
  let config: string;
  let container: Container;

  beforeAll(async () => {
    web = await startWeb({
      policy,
      protocol: 'kubernetes',
      people: true,
      upstream: (port) => ({ kubeconfig: kubeconfig(port) }),
    });
    web.upstream.answers(apiServer);
    container = createContainer();
    web.upstream.upgrades(container.upgrade);
    config = join(web.gateway.folder, 'kubeconfig');
    const cluster = {
      server: `https://127.0.0.1:${String(web.port)}/kubernetes/cloud`,
      'certificate-authority-data': Buffer.from(web.ca).toString('base64'),
    };
    await writeFile(
      config,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'one',
        contexts: [{ name: 'one', context: { cluster: 'one', user: 'one', namespace: 'shop' } }],
        clusters: [{ name: 'one', cluster }],
        users: [{ name: 'one', user: { token: await web.gateway.token() } }],
      }),
      { mode: 0o600 },
    );
  });
  afterAll(async () => {
    await web?.close();
    container?.close();
  });

  const kubectl = (...parameters: string[]) =>
    runProgram('kubectl', ['--kubeconfig', config, '--cache-dir', join(web.gateway.folder, 'cache'), ...parameters]);

  clientTest(group, 'reads and changes what it may, and shows no Secret', async () => {
    const table = await kubectl('get', 'secrets');
    expect(table).toMatchObject({ code: 0, stdout: expect.stringMatching(/^NAME +AGE\ndb +/) as unknown });
    for (const form of ['yaml', 'json', "jsonpath={.data['password']}", 'go-template={{.data.password}}', 'wide']) {
      const { code, stdout, stderr } = await kubectl('get', 'secret', 'db', '-o', form, '--show-managed-fields');
      expect({ form, code, shown: shows(stdout + stderr) }).toEqual({ form, code: 0, shown: false });
    }
    const described = await kubectl('describe', 'secret', 'db');
    expect(described.stdout).toContain('password:  3 bytes');
    // kubectl takes such a path for the whole of it.
    const raw = await kubectl('get', '--raw', '/kubernetes/cloud/api/v1/namespaces/shop/secrets?watch=1');
    expect({ code: raw.code, shown: shows(raw.stdout) }).toEqual({ code: 0, shown: false });
    expect(await kubectl('get', 'pod', 'web', '-o', 'jsonpath={.status.phase}')).toMatchObject({ stdout: 'Running' });
    const denied = await kubectl('label', 'pod', 'web', 'a=b');
    expect(denied.code).toBe(1);
    expect(denied.stderr).toContain('(Forbidden): sallyport: denied by policy: pods of agents stay as they are');
  });

  clientTest(group, 'runs commands in containers and copies files, and says why it does not', async () => {
    const ran = await kubectl('exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; ls /nowhere');
    expect(ran).toMatchObject({ code: 2, stdout: 'out\n', stderr: expect.stringMatching(/^err\n/) as unknown });
    const shell = await kubectl('exec', '-i', 'web', '--', 'sh');
    expect(shell).toMatchObject({ code: 1, stdout: '' });
    expect(shell.stderr).toContain('sallyport: denied by policy: no shells in containers');
    const [there, back] = [join(web.gateway.folder, 'there'), join(web.gateway.folder, 'back')];
    await writeFile(there, 'copied');
    expect(await kubectl('cp', `web:${there}`, back)).toMatchObject({ code: 0 });
    expect(await readFile(back, 'utf8')).toBe('copied');
    const records = JSON.stringify(await web.gateway.records());
    expect(records).toContain(`{"type":"file","name":"${there}","access":"read"}`);
  });

  clientTest(group, 'waits for a removal, and says who refused it', async () => {
    web.upstream.heard.length = 0;
    const removed = kubectl('delete', 'secret', 'db', '--wait=false');
    const { id } = await web.waiting();
    await web.answer('refuse', id);
    const { code, stderr } = await removed;
    expect(code).toBe(1);
    expect(stderr).toContain('(Forbidden): sallyport: not approved');
    expect(web.upstream.heard.filter(({ method }) => method === 'DELETE')).toEqual([]);
  });
});
