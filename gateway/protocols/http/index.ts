import type { Protocol } from '../../protocol.js';
import { HttpUpstreamSchema } from './config.js';
import { reverseGate } from './listener.js';
import { HttpOperationSchema } from './schema.js';

export type { HttpUpstream } from './config.js';

export const http: Protocol = {
  name: 'http',
  upstreamSchema: HttpUpstreamSchema,
  operationSchema: HttpOperationSchema,
  mount: (services) => reverseGate(services),
};
