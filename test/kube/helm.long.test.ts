import { afterAll, describe, expect } from '@jest/globals';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { installed } from '../clients/crane-registry.js';
import { clientTest, runProgram } from '../clients/support.js';
import { startWeb, type Web } from '../support/web.js';
import { startCluster, type Cluster } from './cluster.js';
import { guardedConfig } from './guarded.js';

/** Helm as it is: it keeps its releases in Secrets, which it writes in protobuf, and has no setting for that. */

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

deny contains {"code": "frozen", "message": "nothing is made in this namespace"} if {
  input.operation.action == "write"
  kubernetes.namespace == "frozen"
}

deny contains {"code": "opaque", "message": "it was not understood"} if {
  input.operation.action == "write"
  input.operation.opaque
}
`,
};

const chart = {
  'Chart.yaml': 'apiVersion: v2\nname: shop\nversion: 1.0.0\n',
  'values.yaml': 'greeting: hello\npassword: first\n',
  'templates/all.yaml': `apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}}
data: {greeting: {{ .Values.greeting | quote }}}
---
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {password: {{ .Values.password | quote }}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: {{ .Release.Name }}}
`,
};

const group = 'helm, at a real API server through the gateway,';

describe(group, () => {
  let cluster: Cluster | undefined;
  let web: Web | undefined;
  afterAll(async () => {
    await web?.close();
    await cluster?.close();
  });

  clientTest(
    group,
    'installs, upgrades and rolls back a release, is told what it may not, and takes it away',
    async () => {
      cluster = await startCluster();
      const { kubeconfig } = cluster;
      web = await startWeb({ policy, protocol: 'kubernetes', upstream: () => ({ kubeconfig }) });
      const folder = web.gateway.folder;
      const file = (name: string) => join(folder, name);
      await mkdir(file('shop/templates'), { recursive: true });
      for (const [name, text] of Object.entries(chart)) await writeFile(file(`shop/${name}`), text);
      await writeFile(file('direct'), kubeconfig, { mode: 0o600 });
      const env = {
        KUBECONFIG: await guardedConfig(web),
        ...{ HELM_CACHE_HOME: file('cache'), HELM_CONFIG_HOME: file('config'), HELM_DATA_HOME: file('data') },
      };
      const program = installed('helm');
      const helm = (...parameters: string[]) => runProgram(program, parameters, { env });
      const direct = async (...parameters: string[]) =>
        (await runProgram(program, [...parameters, '--kubeconfig', file('direct')], { env })).stdout;
      const there = async (path: string) => {
        const { code, stdout } = await helm('get', ...path.split(' '));
        expect(code).toBe(0);
        return stdout;
      };
      const done = (words: string) => ({ code: 0, stdout: expect.stringContaining(words) as unknown });

      expect(await helm('install', 'one', file('shop'), '--wait')).toMatchObject(done('STATUS: deployed\nREVISION: 1'));
      expect(await helm('list', '-o', 'json')).toMatchObject(done('"name":"one"'));
      expect(await helm('upgrade', 'one', file('shop'), '--wait', '--set', 'greeting=good day')).toMatchObject(
        done('REVISION: 2'),
      );
      expect(await there('values one')).toContain('greeting: good day');
      expect(await helm('rollback', 'one', '1', '--wait')).toMatchObject(done('Rollback was a success'));
      expect(await helm('status', 'one')).toMatchObject(done('REVISION: 3'));
      expect(await there('manifest one')).toContain('greeting: "hello"');
      // What the gateway brought there is what Helm reads beside it.
      expect(await direct('get', 'manifest', 'one')).toBe(await there('manifest one'));
      expect(await direct('history', 'one', '-o', 'json')).toBe((await helm('history', 'one', '-o', 'json')).stdout);

      const denied = await helm('install', 'two', file('shop'), '--namespace', 'frozen', '--create-namespace');
      expect(denied).toMatchObject({ code: 1, stderr: expect.stringContaining('made in this namespace') as unknown });
      expect(await helm('uninstall', 'one', '--wait')).toMatchObject(done('release "one" uninstalled'));
      expect(await helm('list', '-q')).toMatchObject({ code: 0, stdout: '' });
      const log = await cluster.audit();
      expect(log).toContain('/namespaces/default/secrets/sh.helm.release.v1.one.v3');
      expect(log).not.toContain('/namespaces/frozen/secrets/sh.helm');
    },
    600_000,
  );
});
