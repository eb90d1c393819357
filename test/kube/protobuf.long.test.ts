import { describe, expect } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { jsonOfProtobuf } from '../../gateway/protocols/kubernetes/protobuf/json.js';
import { installed } from '../clients/crane-registry.js';
import { clientTest, runProgram } from '../clients/support.js';
import { startWeb } from '../support/web.js';
import { startCluster } from './cluster.js';
import { guardedConfig } from './guarded.js';

/** Objects in protobuf: what the gateway reads in them, what Kubernetes itself does, and a client that writes nothing else. */

const seeds = 8;
const own = join(import.meta.dirname, '../../gateway/protocols/kubernetes/protobuf');

interface Sample {
  readonly kind: string;
  readonly protobuf: string;
}

/** Numbers to their last digit: those that a double does not hold are compared as texts. */
const exact = (json: string): unknown =>
  JSON.parse(
    json.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, (token) => (/^-?\d{16,}$/.test(token) ? `"#${token}"` : token)),
  );

const kinds = 'objects in protobuf are what Kubernetes itself reads in them:';

describe(kinds, () => {
  clientTest(
    kinds,
    'of every kind, filled at random',
    async () => {
      const { code, stdout, stderr } = await runProgram(installed('kubernetes-types'), ['samples', String(seeds)]);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const lines = stdout.trimEnd().split('\n');
      const different: string[] = [];
      const seen = new Set<string>();
      for (const line of lines) {
        // The JSON is its last field, and stands there as Kubernetes wrote it.
        const at = line.indexOf(',"json":');
        const { kind, protobuf } = JSON.parse(`${line.slice(0, at)}}`) as Sample;
        const json = line.slice(at + ',"json":'.length, -1);
        seen.add(kind);
        if (!isDeepStrictEqual(exact(jsonOfProtobuf(Buffer.from(protobuf, 'base64'))), exact(json)))
          different.push(kind);
      }
      expect(different).toEqual([]);
      expect(lines).toHaveLength(seen.size * seeds);
      expect(seen.size).toBeGreaterThan(600);
      // And the table is what these types are, not what somebody wrote into it.
      const table = await runProgram(installed('kubernetes-types'), ['table']);
      expect(table.stdout).toBe(await readFile(join(own, 'messages.txt'), 'utf8'));
      const input = await readFile(join(import.meta.dirname, 'typed/objects.yaml'), 'utf8');
      const vectors = await runProgram(installed('kubernetes-types'), ['vectors'], { input });
      expect(vectors.stdout).toBe(await readFile(join(own, 'vectors.jsonl'), 'utf8'));
    },
    300_000,
  );
});

const policy = {
  'kubernetes.rego': `package policy.kubernetes

import data.sallyport.kubernetes

allow contains {"code": "all"} if input.operation.kubernetes.verb != ""

deny contains {"code": "frozen", "message": "nothing is made in this namespace"} if {
  input.operation.action == "write"
  kubernetes.namespace == "frozen"
}

# What is not understood would come through here.
deny contains {"code": "opaque", "message": "it was not understood"} if {
  input.operation.action == "write"
  input.operation.opaque
}

mask contains {"code": "secret", "resource": "secrets:data", "with": "redact"} if kubernetes.namespace == "masked"
`,
};

const typed = 'a typed client that writes protobuf, at a real API server through the gateway,';

describe(typed, () => {
  clientTest(
    typed,
    'does what it does without one',
    async () => {
      const cluster = await startCluster();
      const { kubeconfig } = cluster;
      const web = await startWeb({ policy, protocol: 'kubernetes', upstream: () => ({ kubeconfig }) });
      try {
        const direct = join(web.gateway.folder, 'direct');
        await writeFile(direct, kubeconfig, { mode: 0o600 });
        const env = { KUBECONFIG: await guardedConfig(web), DIRECT: direct };
        const { code, stdout, stderr } = await runProgram(installed('kubernetes-types'), ['client'], { env });
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        expect(stdout.trimEnd().split('\n')).toEqual([
          'ConfigMap created',
          'ConfigMap watched',
          'ConfigMap updated',
          'ConfigMap listed',
          'ConfigMap of another UID not deleted',
          'ConfigMap deleted',
          'Deployment is the one that the API server makes of the same protobuf',
          'Deployment scaled',
          'Deployments deleted',
          'Secret written',
          'Pod bound',
          'Pod evicted',
          'token of a ServiceAccount made',
          'access reviewed',
          'DELETE protobuf -> protobuf',
          'POST protobuf -> protobuf',
          'PUT protobuf -> protobuf',
          'refused in a namespace',
          'Secret masked',
          'masked Secret not written back',
          'Secret written, and its answer masked',
        ]);
        expect(await cluster.audit()).not.toContain('/namespaces/frozen/configmaps');
      } finally {
        await web.close();
        await cluster.close();
      }
    },
    400_000,
  );
});
