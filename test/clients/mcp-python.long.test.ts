import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startMcpServer, text, type McpServerSide, type ServedTool } from '../support/mcp.js';
import { startWeb, type Web } from '../support/web.js';
import { clientTest, runProgram } from './support.js';

const policy = {
  'mcp.rego': `package policy.mcp

allow contains {"code": "all"} if input.operation.mcp.method != ""

deny contains {"code": "no_drop"} if input.operation.mcp.tool == "drop"
`,
};
const tools: Record<string, ServedTool> = {
  say: { description: 'Says it again.', run: async ({ words }) => text(String(words)) },
  drop: { description: 'Drops everything.', run: async () => text('dropped') },
};
const group = "MCP's Python SDK";

describe(group, () => {
  let server: McpServerSide;
  let web: Web;

  beforeAll(async () => {
    server = await startMcpServer(new Map(Object.entries(tools)));
    web = await startWeb({ policy, protocol: 'mcp', upstream: () => ({ url: server.url }) });
  });
  afterAll(async () => {
    await web?.close();
    await server?.close();
  });

  clientTest(group, 'works unchanged, through the gateway over HTTP and with `sallyport mcp` over stdio', async () => {
    const probe = spawnSync('node', [join(import.meta.dirname, 'probe.mjs'), 'python-mcp'], { encoding: 'utf8' });
    const gateway = `https://127.0.0.1:${String(web.port)}`;
    const ca = join(web.gateway.folder, '.sallyport', 'https.pem');
    const { code, stdout, stderr } = await runProgram('python3', [join(import.meta.dirname, 'mcp_check.py')], {
      env: {
        CLIENT_PACKAGES: probe.stdout.trim(),
        PYTHONDONTWRITEBYTECODE: '1',
        SALLYPORT_TOKEN: await web.gateway.token({ subject: 'agent:python' }),
        MCP_URL: `${gateway}/mcp/cloud`,
        ...{ GATEWAY_URL: gateway, SALLYPORT_CA: ca, SSL_CERT_FILE: ca },
        ...{ NODE: process.execPath, SALLYPORT: fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url)) },
      },
    });
    expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: 'http\nstdio\n' });
  });
});
