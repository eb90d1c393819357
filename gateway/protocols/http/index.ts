import type { Protocol } from '../../protocol.js';
import { HttpUpstreamSchema, type HttpUpstream } from './config.js';
import { listenEgress } from './egress/proxy.js';
import { reverseGate } from './listener.js';
import { firstSteps } from './operation.js';
import { HttpOperationSchema } from './schema.js';

export type { HttpUpstream } from './config.js';

export const http: Protocol = {
  name: 'http',
  upstreamSchema: HttpUpstreamSchema,
  operationSchema: HttpOperationSchema,
  actions: ['connect', 'read', 'write', 'delete', 'administer'],
  firstSteps: (upstream) => firstSteps(upstream as HttpUpstream),
  listeners: { egress: listenEgress },
  mount: (services) => reverseGate(services),
};
