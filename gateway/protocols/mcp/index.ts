import type { Protocol } from '../../protocol.js';
import { McpUpstreamSchema, type McpUpstream } from './config.js';
import { mcpGate } from './listener.js';
import { operationOf } from './operation.js';
import { McpOperationSchema } from './schema.js';

export type { McpUpstream } from './config.js';

export const mcp: Protocol = {
  name: 'mcp',
  upstreamSchema: McpUpstreamSchema,
  operationSchema: McpOperationSchema,
  actions: ['connect', 'session', 'read', 'execute', 'transfer'],
  firstSteps(upstream) {
    const begin = { method: 'initialize', from: 'client', action: 'connect', access: 'use', params: {} } as const;
    return [operationOf(begin, upstream as McpUpstream)];
  },
  mount: (services) => mcpGate(services),
};
