import type { Protocol } from '../../protocol.js';
import { McpUpstreamSchema } from './config.js';
import { mcpGate } from './listener.js';
import { McpOperationSchema } from './schema.js';

export type { McpUpstream } from './config.js';

export const mcp: Protocol = {
  name: 'mcp',
  upstreamSchema: McpUpstreamSchema,
  operationSchema: McpOperationSchema,
  mount: (services) => mcpGate(services),
};
