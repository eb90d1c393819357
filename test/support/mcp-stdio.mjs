// A server of MCP over standard input and output, as the SDK makes one: it tells of its environment and its process.
import { spawn } from 'node:child_process';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const server = new Server({ name: 'local', version: '1.0.0' }, { capabilities: { tools: {} } });
const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { stdio: 'ignore' });
child.unref();

server.setRequestHandler(ListToolsRequestSchema, () => ({
  tools: [{ name: 'about', description: 'Tells of the process.', inputSchema: { type: 'object' } }],
}));
server.setRequestHandler(CallToolRequestSchema, () => ({
  content: [{ type: 'text', text: JSON.stringify({ environment: process.env, pid: process.pid, child: child.pid }) }],
}));
process.stderr.write('ready\n');
await server.connect(new StdioServerTransport());
