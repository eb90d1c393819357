import type { Protocol } from '../../protocol.js';
import { readRequest } from './codec.js';
import { KubernetesUpstreamSchema, type KubernetesUpstream } from './config.js';
import { kubernetesGate } from './listener.js';
import { operationOf } from './operation.js';
import { KubernetesOperationSchema } from './schema.js';

export type { KubernetesUpstream } from './config.js';

export const kubernetes: Protocol = {
  name: 'kubernetes',
  upstreamSchema: KubernetesUpstreamSchema,
  operationSchema: KubernetesOperationSchema,
  actions: ['session', 'read', 'write', 'delete', 'execute', 'transfer', 'define', 'administer'],
  /** Every client begins with the version, and policies that let anybody in allow it. */
  firstSteps: (upstream) => [
    operationOf(readRequest('GET', '/version', [], Buffer.alloc(0)), upstream as KubernetesUpstream),
  ],
  mount: (services) => kubernetesGate(services),
};
