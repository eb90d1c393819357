import type { Protocol } from '../../protocol.js';
import { RegistryUpstreamSchema } from './config.js';
import { registryGate } from './listener.js';
import { RegistryOperationSchema } from './schema.js';

export type { RegistryUpstream } from './config.js';

export const registry: Protocol = {
  name: 'registry',
  upstreamSchema: RegistryUpstreamSchema,
  operationSchema: RegistryOperationSchema,
  actions: ['read', 'write', 'delete'],
  mount: (services) => registryGate(services),
};
