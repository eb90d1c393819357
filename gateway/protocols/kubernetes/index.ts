import type { Protocol } from '../../protocol.js';
import { KubernetesUpstreamSchema } from './config.js';
import { kubernetesGate } from './listener.js';
import { KubernetesOperationSchema } from './schema.js';

export type { KubernetesUpstream } from './config.js';

export const kubernetes: Protocol = {
  name: 'kubernetes',
  upstreamSchema: KubernetesUpstreamSchema,
  operationSchema: KubernetesOperationSchema,
  mount: (services) => kubernetesGate(services),
};
