import type { Access, Action, Operation, Resource } from '#engine';
import { sha256 } from '../../web/index.js';
import type { RegistryRequest } from './codec.js';
import type { RegistryOperation } from './schema.js';

/** Requests to operations: what is done to which image. */

/** What is known beside the request itself. */
export type Known = Pick<RegistryOperation, 'manifest' | 'signature' | 'signatures' | 'inert'>;

interface Meaning {
  readonly operation: RegistryOperation['operation'];
  readonly object: RegistryOperation['object'];
  readonly step?: NonNullable<RegistryOperation['step']>;
}

const effects: Readonly<Record<RegistryOperation['operation'], { readonly action: Action; readonly access: Access }>> =
  {
    pull: { action: 'read', access: 'read' },
    list: { action: 'read', access: 'read' },
    push: { action: 'write', access: 'insert' },
    mount: { action: 'write', access: 'insert' },
    delete: { action: 'delete', access: 'delete' },
  };

function meaningOf({ endpoint: { kind }, method, from, digest }: RegistryRequest): Meaning {
  switch (kind) {
    case 'manifest':
    case 'blob': {
      const operation = method === 'PUT' ? 'push' : method === 'DELETE' ? 'delete' : 'pull';
      return { operation, object: kind };
    }
    case 'start':
      if (from !== undefined) return { operation: 'mount', object: 'blob' };
      return { operation: 'push', object: 'blob', step: digest === undefined ? 'start' : 'whole' };
    case 'upload': {
      const step = ({ PATCH: 'chunk', PUT: 'finish', DELETE: 'cancel' } as const)[method as 'PATCH'] ?? 'status';
      return { operation: 'push', object: 'blob', step };
    }
    case 'tags':
    case 'referrers':
      return { operation: 'list', object: kind };
  }
}

export function operationOf(request: RegistryRequest, host: string, known: Known = {}): Operation {
  const { endpoint, repository, method, from, bytes } = request;
  const meaning = meaningOf(request);
  const tag = endpoint.kind === 'manifest' ? endpoint.tag : undefined;
  const named = 'digest' in endpoint ? endpoint.digest?.text : request.digest?.text;
  const digest = named ?? known.manifest?.digest;
  const registry: RegistryOperation = {
    ...meaning,
    host,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
    ...(from === undefined ? {} : { from }),
    head: method === 'HEAD',
    ...(bytes === undefined || bytes === 0 ? {} : { bytes }),
    ...known,
  };
  const { action, access } = effects[meaning.operation];
  const image = (name: string, how: Access): Resource => ({ type: 'image', name, access: how });
  const name =
    tag === undefined ? (digest === undefined ? repository : `${repository}@${digest}`) : `${repository}:${tag}`;
  return {
    stage: 'execute',
    action,
    resources: [
      { type: 'host', name: host, access: 'use' },
      ...(from === undefined ? [] : [image(`${from}@${digest ?? ''}`, 'read')]),
      // A tag may be there already, and then leads to another image.
      image(name, tag !== undefined && meaning.operation === 'push' ? 'update' : access),
    ],
    opaque: false,
    hash: hashOf(registry, request),
    registry,
  };
}

/** Of a manifest it is its digest that counts; of a part of an upload, which upload it is. */
function hashOf(
  { operation, object, step, host, repository, tag, digest, from, head, bytes }: RegistryOperation,
  request: RegistryRequest,
): string {
  const { endpoint, parameters } = request;
  const place = endpoint.kind === 'upload' ? [endpoint.session, bytes ?? ''] : [];
  const said = [operation, object, step ?? '', host, repository, tag ?? '', digest ?? '', from ?? '', head];
  return sha256(
    JSON.stringify([...said, ...place, ...(object === 'tags' || object === 'referrers' ? parameters : [])]),
  );
}

/** A mount reads a blob where it is: what that would be as an operation of its own. */
export const sourceOf = (
  request: RegistryRequest & { readonly from: string; readonly digest: NonNullable<RegistryRequest['digest']> },
): RegistryRequest => ({
  method: 'GET',
  target: request.target,
  repository: request.from,
  endpoint: { kind: 'blob', digest: request.digest },
  parameters: new Map(),
  bytes: 0,
  fields: new Map(),
});
