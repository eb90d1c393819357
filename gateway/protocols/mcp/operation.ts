import type { Access, Action, Operation, Resource } from '#engine';
import { sha256 } from '../../web/index.js';
import { canonical } from './canonical.js';
import type { McpUpstream } from './config.js';
import type { JsonObject } from './methods.js';
import type { McpOperation } from './schema.js';
import type { Tool } from './tools.js';

/** Messages to operations. */

export interface Asked {
  readonly method: string;
  readonly from: 'client' | 'server';
  readonly action: Action;
  readonly access: Access;
  readonly params: JsonObject;
  /** Of tools/call: undefined where the server has no such tool. */
  readonly tool?: Tool | undefined;
}

export const placeOf = (upstream: McpUpstream): string =>
  upstream.kind === 'http'
    ? `${upstream.host.includes(':') ? `[${upstream.host}]` : upstream.host}:${upstream.port}`
    : upstream.command[0];

export function operationOf(asked: Asked, upstream: McpUpstream): Operation {
  return documentOf(asked, upstream, 'execute');
}

/**
 * What it is asked by whether something is shown in a list: the use of it, of which the arguments are not known yet. A deny binds;
 * approvals wait for the use itself.
 */
export function useOf(kind: 'tool' | 'resource' | 'prompt', named: string | Tool, upstream: McpUpstream): Operation {
  const listed = { from: 'client', access: 'read', action: 'read' } as const;
  if (typeof named !== 'string') {
    const call = { method: 'tools/call', from: 'client', action: 'execute', access: 'execute' } as const;
    return documentOf({ ...call, params: { name: named.name }, tool: named }, upstream, 'prepare');
  }
  const asked: Asked =
    kind === 'prompt'
      ? { ...listed, method: 'prompts/get', params: { name: named } }
      : { ...listed, method: 'resources/read', params: { uri: named } };
  return documentOf(asked, upstream, 'prepare');
}

function documentOf(asked: Asked, upstream: McpUpstream, stage: Operation['stage']): Operation {
  const { method, from, action, access, params } = asked;
  const place = placeOf(upstream);
  const server: Resource = { type: upstream.kind === 'http' ? 'host' : 'program', name: place, access: 'use' };
  const mcp: McpOperation = { method, from, server: place, ...ownOf(asked, stage) };
  return {
    stage,
    action,
    resources: [server, { ...touched(asked), access }],
    opaque: false,
    hash: sha256(canonical([stage, place, from, method, params])),
    mcp,
  };
}

function ownOf({ method, params, tool }: Asked, stage: Operation['stage']): Partial<McpOperation> {
  const { name, uri, ...rest } = params;
  switch (method) {
    case 'tools/call':
      return {
        tool: name as string,
        ...(stage === 'prepare' ? {} : { arguments: (rest['arguments'] ?? {}) as Record<string, unknown> }),
        ...(tool === undefined
          ? { pin: 'unknown' }
          : { annotations: tool.annotations, digest: tool.digest, pin: tool.pin }),
      };
    case 'prompts/get':
      return { prompt: name as string, params: rest };
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return { uri: uri as string };
    default:
      return Object.keys(params).length === 0 ? {} : { params };
  }
}

function touched({ method, params }: Asked): Pick<Resource, 'type' | 'name'> {
  const { name, uri } = params;
  switch (method) {
    case 'tools/call':
      return { type: 'tool', name: name as string };
    case 'prompts/get':
      return { type: 'prompt', name: name as string };
    case 'resources/read':
    case 'resources/subscribe':
    case 'resources/unsubscribe':
      return { type: 'resource', name: uri as string };
    default:
      return { type: 'method', name: method };
  }
}

/** A record has what was asked of whom; what it was told only where no value in it has to be withheld. */
export function withoutValues(own: unknown): JsonObject {
  const { arguments: _, params: __, ...rest } = own as JsonObject;
  return rest;
}
