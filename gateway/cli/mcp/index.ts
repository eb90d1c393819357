import { InvalidArgumentError, type Command } from 'commander';
import { exit, type ExitCode } from '../exit.js';
import { gatewayAddress, withGateway, type GatewayFlags } from '../api/address.js';
import { tokenFor } from '../api/client.js';
import type { Surroundings } from '../surroundings.js';

const examples = `
For agents without drivers: it speaks MCP on standard input and output, and to the gateway as psql, ssh and curl would, with the token of
whoever runs it. Give an agent a token of its own (SALLYPORT_TOKEN_FILE), and not your sign-in.

In an agent's configuration:
  {"mcpServers": {"sallyport": {"command": "sallyport", "args": ["mcp", "--gateway", "https://gateway.example:8443"],
                                "env": {"SALLYPORT_TOKEN_FILE": "/run/agent/token"}}}}`;

type McpFlags = GatewayFlags & { readonly holdSeconds?: number };

const hold_s_default = 45;

/** Adds mcp to the command line. */
export function registerMcp(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  const version = program.version() ?? 'unknown';
  withGateway(program.command('mcp').description("the gateway's own tools for agents, as an MCP server on stdio"))
    .option('--hold-seconds <number>', 'how long a call waits for people that cannot be told so', seconds)
    .addHelpText('after', examples)
    .action(async (flags: McpFlags) => finish(await mcp(flags, version, around)));
}

function seconds(text: string): number {
  if (!/^\d{1,5}$/u.test(text)) throw new InvalidArgumentError('It is no number of seconds.');
  return Number(text);
}

async function mcp(flags: McpFlags, version: string, around: Surroundings): Promise<ExitCode> {
  const { GatewayTools } = await import('./server.js');
  const { serveLines } = await import('./rpc.js');
  const place = await gatewayAddress(flags, around);
  const tools = new GatewayTools({
    place,
    token: () => tokenFor(place, flags, around),
    version,
    hold_ms: (flags.holdSeconds ?? hold_s_default) * 1_000,
    warn: (message) => void around.stderr.write(`sallyport: ${message}\n`),
  });
  try {
    await serveLines(around.stdin ?? process.stdin, (line) => void around.stdout.write(line), tools.handle);
  } finally {
    tools.close();
  }
  return exit.done;
}
