import type { Reachable } from '../../api/targets.js';
import type { ApiClient } from '../api/client.js';
import { get, request } from './http.js';
import type { Execute } from './order.js';
import type { Json } from './outcome.js';
import { query, rows_max } from './postgres.js';
import { run } from './ssh.js';

/** What is offered: a tool for each protocol in which there is a target for whoever asks, and those about policy itself. */
export interface ToolDefinition {
  readonly name: string;
  readonly description: string;
  readonly inputSchema: Json;
  readonly annotations: Json;
}

/** A tool that does something at a target. */
export interface TargetTool {
  readonly protocol: string;
  readonly execute: Execute;
  readonly describe: (targets: readonly string[]) => Omit<ToolDefinition, 'name'>;
}

const text = (description: string, length_max = 65_536) => ({ type: 'string', minLength: 1, maxLength: length_max, description }); // prettier-ignore
const object = (properties: Json, required: readonly string[]): Json => ({
  ...{ type: 'object', properties, required, additionalProperties: false },
});
const targetOf = (targets: readonly string[]) => ({ type: 'string', enum: targets, description: 'which target' });

export const targetTools: Readonly<Record<string, TargetTool>> = {
  query: {
    protocol: 'postgres',
    execute: query,
    describe: (targets) => ({
      description: `Runs one SQL statement on a Postgres database, in a transaction of its own. Values for $1, $2, … go into parameters. The answer has columns, rows (at most rows_max) and whether there are more. Policy decides on each statement; masked values read as *** or NULL.`,
      inputSchema: object(
        {
          target: targetOf(targets),
          sql: text('one statement'),
          parameters: {
            type: 'array',
            maxItems: 1_000,
            items: { type: ['string', 'number', 'boolean', 'null'] },
            description: 'values for $1, $2, …',
          },
          rows_max: { type: 'integer', minimum: 1, maximum: rows_max, description: 'default 100' },
        },
        ['target', 'sql'],
      ),
      annotations: { destructiveHint: true, openWorldHint: false },
    }),
  },
  run: {
    protocol: 'ssh',
    execute: run,
    describe: (targets) => ({
      description: `Runs one command line on a host and answers with its exit code and output. Policy decides on what is in the line: plain programs with plain words pass more easily than substitutions, variables or interpreters with code.`,
      inputSchema: object(
        {
          target: targetOf(targets),
          command: text('the command line'),
          stdin: { type: 'string', maxLength: 262_144, description: 'what the command reads' },
        },
        ['target', 'command'],
      ),
      annotations: { destructiveHint: true, openWorldHint: true },
    }),
  },
  get: {
    protocol: 'kubernetes',
    execute: get,
    describe: (targets) => ({
      description: `Reads from a Kubernetes API server: an object, a list, a log. path is the API's own, as in /api/v1/namespaces/shop/pods?limit=50 or /apis/apps/v1/namespaces/shop/deployments/web.`,
      inputSchema: object({ target: targetOf(targets), path: text('path and query', 8_192) }, ['target', 'path']),
      annotations: { readOnlyHint: true, openWorldHint: false },
    }),
  },
  request: {
    protocol: 'http',
    execute: request,
    describe: (targets) => ({
      description: `Sends one request to an HTTP API, which gets its credential from the gateway. path is the one below the target, as in /machines?limit=10.`,
      inputSchema: object(
        {
          target: targetOf(targets),
          method: { type: 'string', enum: ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE'] },
          path: text('path and query', 8_192),
          headers: { type: 'object', additionalProperties: { type: 'string' }, maxProperties: 32 },
          body: {
            type: ['object', 'array', 'string'],
            description: 'JSON, or a text with its content-type in headers',
          },
        },
        ['target', 'method', 'path'],
      ),
      annotations: { destructiveHint: true, openWorldHint: true },
    }),
  },
};

/** A tool that asks the gateway itself. */
export interface OwnTool extends Omit<ToolDefinition, 'name'> {
  readonly ask: (api: ApiClient, args: Json) => Promise<Json>;
}

const looks = { readOnlyHint: true, openWorldHint: false };
const decision = { type: 'string', pattern: '^d-[A-Za-z0-9-]{1,62}$', description: 'as refusals name it' };

export const ownTools: Readonly<Record<string, OwnTool>> = {
  whoami: {
    description: 'Who the gateway takes you for, for which purpose, until when, and which targets you may begin with.',
    inputSchema: object({}, []),
    annotations: looks,
    ask: async (api) => {
      const [who, { targets }] = await Promise.all([
        api.get<Json>('/v1/whoami'),
        api.get<{ targets: readonly Reachable[] }>('/v1/targets'),
      ]);
      return {
        ...who,
        targets: targets.map(({ name, protocol, path }) => ({ name, protocol, ...(path && { path }) })),
      };
    },
  },
  explain: {
    description: 'One decision of your own: what was asked, which rules answered, and what became of it.',
    inputSchema: object({ decision }, ['decision']),
    annotations: looks,
    ask: async (api, args) => api.get<Json>(`/v1/decisions/${encodeURIComponent(args['decision'] as string)}`),
  },
  what_would_i_need: {
    description:
      'What policy says of an operation of yours, without doing it, and what would have to differ for another answer: a purpose, a group, a role, a target. Of a decision that you got (exact), or of one SQL statement or HTTP request at a target (read by its text alone).',
    inputSchema: object(
      {
        decision,
        target: text('with sql or request', 256),
        sql: text('one statement'),
        request: text('as in GET /v1/users', 8_192),
      },
      [],
    ),
    annotations: looks,
    ask: async (api, args) => api.post<Json>('/v1/ask', args),
  },
};
