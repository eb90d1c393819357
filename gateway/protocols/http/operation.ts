import type { Access, Action, Operation, Resource } from '#engine';
import { isOpaque, sha256 } from '../../web/index.js';
import { readFields, readRequest, type Request } from './codec.js';
import { readCloud, type Cloud } from './cloud/reading.js';
import type { HttpUpstream } from './config.js';
import { tunnelOf } from './egress/operation.js';
import { readGraphql } from './graphql/asking.js';
import type { Graphql } from './graphql/schema.js';
import type { HttpOperation } from './schema.js';

/** Requests to operations. */

interface Meaning {
  readonly action: Action;
  readonly access: Access;
}

/** What a method means (RFC 9110, 9.3); a document or grammar of the API may know better. */
const meanings: Readonly<Record<string, Meaning>> = {
  GET: { action: 'read', access: 'read' },
  HEAD: { action: 'read', access: 'read' },
  OPTIONS: { action: 'read', access: 'read' },
  POST: { action: 'write', access: 'insert' },
  PUT: { action: 'write', access: 'update' },
  PATCH: { action: 'write', access: 'update' },
  DELETE: { action: 'delete', access: 'delete' },
};

/** Fields that say nothing of what is done: an approval is not asked for anew because a trace has another number. */
const incidental: ReadonlySet<string> = new Set(['traceparent', 'tracestate', 'baggage', 'user-agent', 'x-request-id']);

export const hostOf = ({ host, port }: Pick<HttpUpstream, 'host' | 'port'>) =>
  `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;

export function operationOf(request: Request, upstream: HttpUpstream): Operation {
  const { method, path, query, fields, body } = request;
  const served = servesGraphql(request, upstream);
  const graphql = readGraphql(request, served);
  const cloud = cloudOf(request, upstream);
  const { action, access } = meaningOf(method, graphql, served);
  const host = hostOf(upstream);
  const text = path.text === '' ? '/' : path.text;
  const resources: Resource[] = [
    { type: 'host', name: host, access: 'use' },
    { type: 'path', name: text, access },
    ...rootsOf(graphql, access),
  ];
  const known = upstream.openapi?.find(method, path.segments.slice(segmentsOf(upstream.base)));
  const http: HttpOperation = {
    method,
    scheme: upstream.protocol.slice(0, -1),
    host,
    path: text,
    segments: [...path.segments],
    ...(known === undefined ? {} : { template: known.template, path_parameters: { ...known.parameters } }),
    ...(known?.operationId === undefined ? {} : { operationId: known.operationId }),
    query: query.values as HttpOperation['query'],
    headers: Object.fromEntries([...fields.forwarded].filter(([name]) => !fields.credentials.includes(name))),
    credentials: [...fields.credentials],
    ...(body.seen === undefined ? {} : { body: body.seen as NonNullable<HttpOperation['body']> }),
    ...(graphql === undefined ? {} : { graphql }),
    ...(cloud === undefined ? {} : { cloud }),
  };
  return {
    stage: 'execute',
    action,
    resources,
    opaque:
      (body.seen !== undefined && isOpaque(body.seen)) ||
      graphql?.unreadable !== undefined ||
      (cloud !== undefined && cloud.action === undefined),
    hash: hashOf(request, host, text),
    http,
  };
}

/**
 * To begin with the API at all, which no request to it does (so a rule that allows `connect` is about lists, and tunnels), or to look at
 * what stands at its root. Where there is no API: a tunnel to one of the hosts.
 */
export function firstSteps(upstream: HttpUpstream): Operation[] {
  if (!upstream.reverse) {
    return (upstream.egress?.hosts ?? []).filter(({ below }) => !below).map((host) => tunnelOf(host));
  }
  const read = operationOf(
    readRequest('GET', { target: '', path: '/', query: '' }, readFields([], true), Buffer.alloc(0), upstream),
    upstream,
  );
  return [{ ...read, action: 'connect', resources: read.resources.filter(({ type }) => type === 'host') }, read];
}

function cloudOf(request: Request, { cloud: provider, host, base, signing }: HttpUpstream): Cloud | undefined {
  if (provider === undefined) return undefined;
  const service = signing !== undefined && 'aws' in signing ? signing.aws.service : undefined;
  return readCloud(request, { provider, host, base_segments: segmentsOf(base), service });
}

/** Whether the configuration says that the target serves GraphQL at this path. */
export function servesGraphql({ path }: Request, { graphql, base }: HttpUpstream): boolean {
  const asked = path.segments.slice(segmentsOf(base)).filter((segment) => segment !== '');
  return graphql.some((segments) => segments.length === asked.length && segments.every((one, at) => one === asked[at]));
}

/**
 * A mutation writes, by whichever method. That a POST only reads is believed where the target is known to serve GraphQL: to
 * anything else the query is only a text.
 */
function meaningOf(method: string, graphql: Graphql | undefined, served: boolean): Meaning {
  const said = meanings[method] ?? { action: 'administer', access: 'administer' };
  if (graphql === undefined || graphql.unreadable !== undefined) return said;
  if (graphql.requests.some(({ type }) => type === 'mutation')) {
    return said.action === 'read' ? { action: 'write', access: 'insert' } : said;
  }
  return served && method === 'POST' ? { action: 'read', access: 'read' } : said;
}

/** The fields at the root, as what is touched: "mutation.deleteUser". */
function rootsOf(graphql: Graphql | undefined, access: Access): Resource[] {
  const names = (graphql?.requests ?? []).flatMap(({ type, fields }) =>
    fields.filter(({ path }) => !path.includes('.')).map(({ name }) => `${type}.${name}`),
  );
  return [...new Set(names)].map((name) => ({ type: 'field', name, access }));
}

/** How many segments come before those that the API's document has. */
const segmentsOf = (base: string): number => base.split('/').length - 1;

/** Of all that the upstream gets, credentials excluded. */
function hashOf({ method, query, fields, body }: Request, host: string, path: string): string {
  const said = [...fields.forwarded]
    .filter(([name]) => !incidental.has(name) && !fields.credentials.includes(name))
    .sort(([one], [other]) => (one < other ? -1 : 1));
  return sha256(JSON.stringify([method, host, path, query.text, said, body.seen?.sha256 ?? '']));
}
