import { afterAll, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../support/certificates.js';
import { egressPort, startOutside, type Outside } from '../support/egress.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { installed } from './crane-registry.js';
import { clientTest, runProgram } from './support.js';

/** Clients of HTTP as programs use them, through the egress proxy: a tunnel that is looked into, and one that is not. */

const policy = {
  'http.rego': `package policy.http

import data.sallyport.http

allow contains {"code": "tunnels"} if input.operation.http.method == "CONNECT"

allow contains {"code": "reads"} if http.reads_only

deny contains {"code": "secret", "message": "nobody reads that"} if http.below(["secret"])

mask contains {"code": "email", "resource": "body:**.email", "with": "redact"} if http.below(["masked"])
`,
};

const group = 'through the egress proxy,';
const authority = createAuthority('Authority of the proxy');

/** Asks for each URL in turn, over connections that it keeps, and prints [status, body] of each as a line. */
const programs = {
  undici: (folder: string) => `import { createRequire } from 'node:module';
const { fetch, ProxyAgent } = createRequire(${JSON.stringify(`${folder}/`)})('undici');
const dispatcher = new ProxyAgent(process.env.HTTPS_PROXY);
for (const url of process.argv.slice(2)) {
  const answer = await fetch(url, { dispatcher });
  console.log(JSON.stringify([answer.status, await answer.text()]));
}
await dispatcher.close();
`,
  python: () => `import json, requests, sys
session = requests.Session()
for url in sys.argv[1:]:
    answer = session.get(url, timeout=60)
    print(json.dumps([answer.status_code, answer.text]))
`,
};

describe(group, () => {
  let folder: string;
  let looked: Outside;
  let blind: Outside;
  let gateway: TestGateway;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-egress-clients-'));
    looked = await startOutside();
    blind = await startOutside();
    const file = async (name: string, text: string, mode = 0o644) => {
      await writeFile(join(folder, name), text, { mode });
      return { file: join(folder, name) };
    };
    const certificate = await file('authority.pem', authority.certificate);
    await file('all.pem', [authority, blind.authority].map((one) => one.certificate).join('\n'));
    gateway = await startTestGateway({
      protocol: 'egress',
      policy,
      config: {
        listen: {
          egress: {
            address: '127.0.0.1:0',
            authority: { certificate, key: await file('authority.key', authority.key, 0o600) },
          },
        },
        targets: [
          {
            name: 'looked',
            protocol: 'http',
            upstream: {
              url: `https://localhost:${String(looked.port)}`,
              tls: { ca: await file('looked.pem', looked.authority.certificate) },
              credential: { bearer: 'the-gateways-own' },
              egress: { intercept: true },
            },
          },
          {
            name: 'blind',
            protocol: 'http',
            upstream: { egress: { hosts: [`localhost:${String(blind.port)}`], addresses: ['127.0.0.0/8', '::1/128'] } },
          },
        ],
      },
    });
  });
  afterAll(async () => {
    await gateway?.close();
    await looked?.close();
    await blind?.close();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    for (const { heard, headers } of [looked, blind]) heard.length = headers.length = 0;
  });

  /** What the program printed for these URLs. */
  async function run(command: readonly string[], env: Record<string, string>, urls: readonly string[]) {
    const [program = '', ...parameters] = command;
    const { code, stdout, stderr } = await runProgram(program, [...parameters, ...urls], {
      env: {
        HTTPS_PROXY: `http://agent:${await gateway.token()}@127.0.0.1:${String(egressPort(gateway))}`,
        NO_PROXY: '',
        ...env,
      },
    });
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as [number, string]);
  }

  async function asks(command: readonly string[], env: Record<string, string>): Promise<void> {
    const inside = `https://localhost:${String(looked.port)}`;
    const outside = `https://localhost:${String(blind.port)}`;
    const paths = ['/open', '/masked/one', '/secret', '/again'];
    const [open, masked, secret, again] = await run(command, env, [...paths.map((path) => inside + path)]);
    expect([open?.[0], masked?.[0], secret?.[0], again?.[0]]).toEqual([200, 200, 403, 200]);
    expect(JSON.parse(open?.[1] ?? '')).toEqual({ email: 'ada@example.com', url: '/open' });
    expect(JSON.parse(masked?.[1] ?? '')).toEqual({ email: '***', url: '/masked/one' });
    expect(secret?.[1]).toContain('nobody reads that');
    expect(looked.heard).toEqual(['GET /open', 'GET /masked/one', 'GET /again']);
    expect(new Set(looked.headers.map(({ authorization }) => authorization))).toEqual(
      new Set(['Bearer the-gateways-own']),
    );
    const [through] = await run(command, env, [`${outside}/masked/blind`]);
    expect(through?.[0]).toBe(200);
    expect(JSON.parse(through?.[1] ?? '')).toEqual({ email: 'ada@example.com', url: '/masked/blind' });
    expect(JSON.stringify([looked.headers, blind.headers])).not.toMatch(/proxy-authorization/i);
  }

  clientTest(
    group,
    "undici's ProxyAgent, which is Node's fetch, is judged inside one tunnel and carried by the other",
    async () => {
      const file = join(folder, 'client.mjs');
      await writeFile(file, programs.undici(installed('undici')));
      await asks([process.execPath, file], { NODE_EXTRA_CA_CERTS: join(folder, 'all.pem') });
    },
  );

  clientTest(group, "Python's requests is judged inside one tunnel and carried by the other", async () => {
    const file = join(folder, 'client.py');
    await writeFile(file, programs.python());
    const ca = join(folder, 'all.pem');
    await asks(['python3', file], { PYTHONPATH: installed('python-requests'), REQUESTS_CA_BUNDLE: ca });
  });
});
