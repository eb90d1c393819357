import Type from 'typebox';
import type { Request } from '../codec.js';
import { readApiDocument, type ApiDocument } from '../openapi.js';
import { queryServices, s3Actions, s3Modifiers, targetPrefixes } from './aws-data.js';
import { googleMethods } from './google-data.js';

/**
 * Which action of a cloud a request is, by the cloud's own grammar and name for it. What the grammar does not say in one way has none.
 */
export const CloudSchema = Type.Object(
  {
    provider: Type.Unsafe<Provider>({ type: 'string', enum: ['aws', 'google', 'azure'] }),
    service: Type.Optional(Type.String({ description: 'ec2, storage, microsoft.compute.' })),
    action: Type.Optional(
      Type.String({
        description:
          'DescribeInstances, storage.objects.get, microsoft.compute/virtualmachines/read. Absent: it is not known, and the operation is opaque.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type Cloud = Type.Static<typeof CloudSchema>;
export type Provider = 'aws' | 'google' | 'azure';

/** Of the target: its host, how many segments its URL has, and what its requests are signed for. */
export interface CloudTarget {
  readonly provider: Provider;
  readonly host: string;
  readonly base_segments: number;
  readonly service: string | undefined;
}

interface Named {
  readonly service?: string;
  readonly action?: string | undefined;
}

export function readCloud(request: Request, target: CloudTarget): Cloud {
  const { service, action } = readers[target.provider](request, target);
  return {
    provider: target.provider,
    ...(service === undefined ? {} : { service }),
    ...(action === undefined ? {} : { action }),
  };
}

const readers: Readonly<Record<Provider, (request: Request, target: CloudTarget) => Named>> = {
  aws: readAws,
  google: readGoogle,
  azure: readAzure,
};

const name_pattern = /^[A-Za-z][A-Za-z0-9]{0,127}$/;

/** SERVICE.REGION.amazonaws.com; of S3 also with the bucket before it. */
function readAws(request: Request, { host, service: signedFor, base_segments }: CloudTarget): Named {
  const [, bucket, known] =
    /^(?:(.+)\.(?=s3[.-]))?([a-z0-9-]+?)(?:[.-][a-z]+(?:-[a-z]+)+-\d)?\.amazonaws\.com$/.exec(host) ?? [];
  const service = signedFor ?? known;
  if (service === undefined) return {};
  const segments = request.path.segments.slice(base_segments);
  if (service === 's3') return { service, action: s3Action(request, segments, bucket !== undefined) };
  const asked = [
    ...(Object.hasOwn(queryServices, service) ? queried(request, segments, queryServices[service] === 'any') : []),
    ...(Object.hasOwn(targetPrefixes, service) ? targeted(request, segments, targetPrefixes[service]!) : []),
  ];
  const [action] = asked;
  // Said twice, by whichever protocols: services differ on which one they take.
  return asked.length === 1 && action !== undefined && name_pattern.test(action) ? { service, action } : { service };
}

const atRoot = (segments: readonly string[]): boolean => segments.every((segment) => segment === '');

function queried({ method, query, body }: Request, segments: readonly string[], anywhere: boolean): string[] {
  if (method !== 'GET' && method !== 'POST') return [];
  if (!anywhere && !atRoot(segments)) return [];
  const inForm = body.seen?.form?.['Action'] ?? [];
  return [...query.list.filter(({ name }) => name === 'Action').map(({ value = '' }) => value), ...inForm];
}

function targeted({ method, fields }: Request, segments: readonly string[], prefix: string): string[] {
  const target = fields.forwarded.get('x-amz-target');
  if (target === undefined) return [];
  const fits = method === 'POST' && atRoot(segments) && target.startsWith(`${prefix}.`);
  // What is another service's makes it unclear, and not only absent.
  return [fits ? target.slice(prefix.length + 1) : ''];
}

function s3Action(request: Request, segments: readonly string[], bucketInHost: boolean): string | undefined {
  const { method, query, fields } = request;
  const named = atRoot(segments) ? 0 : segments.length === 2 && segments[1] === '' ? 1 : segments.length;
  const level = ['service', 'bucket'][named + (bucketInHost ? 1 : 0)] ?? 'object';
  const parts = query.list.map(({ name }) => name).filter((name) => !s3Modifiers.has(name));
  if (parts.length > 1) return undefined;
  const part = parts.map((name) => ` ?${name}`).join('');
  const copies = fields.forwarded.has('x-amz-copy-source') ? ' copy' : '';
  const key = `${method} ${level}${part}${copies}`;
  return Object.hasOwn(s3Actions, key) ? s3Actions[key] : undefined;
}

const documents = new Map<string, ApiDocument>();

/** The grammar of one service, made when the first request asks for it. */
function googleDocument(service: string): ApiDocument {
  let document = documents.get(service);
  if (document === undefined) {
    const paths: Record<string, Record<string, { operationId: string }>> = {};
    for (const row of googleMethods[service] ?? []) {
      const [method = '', path = '', operationId = ''] = row.split(' ');
      paths[path] = { ...paths[path], [method.toLowerCase()]: { operationId } };
    }
    documents.set(service, (document = readApiDocument(JSON.stringify({ openapi: '3.1.0', paths }))));
  }
  return document;
}

/** SERVICE.googleapis.com; elsewhere (a private endpoint) whichever service has the path, if it is the only one. */
function readGoogle({ method, path }: Request, { host }: CloudTarget): Named {
  const [, named] = /^([a-z-]+)\.googleapis\.com$/.exec(host) ?? [];
  const services = named !== undefined && Object.hasOwn(googleMethods, named) ? [named] : Object.keys(googleMethods);
  const found = services.flatMap((service) => {
    const operation = googleDocument(service).find(method === 'HEAD' ? 'GET' : method, path.segments);
    // Behind a colon stands a method of its own, and one that the grammar does not have is in no name.
    const plain = operation !== undefined && Object.values(operation.parameters).every((value) => !/[:/]/.test(value));
    return plain && operation.operationId !== undefined ? [{ service, action: operation.operationId }] : [];
  });
  const [only] = found;
  if (found.length === 1 && only !== undefined) return only;
  return named === undefined ? {} : { service: named };
}

const azureMethods: Readonly<Record<string, string>> = {
  GET: 'read',
  HEAD: 'read',
  PUT: 'write',
  PATCH: 'write',
  DELETE: 'delete',
};

/**
 * Resource types alternate with names, behind the last provider; what stands behind a resource is an action where it is posted to. Azure
 * does not tell capitals from small letters, so the name has none.
 *
 * @see https://learn.microsoft.com/azure/role-based-access-control/resource-provider-operations
 */
function readAzure({ method, path }: Request, { base_segments }: CloudTarget): Named {
  const segments = path.segments.slice(base_segments).map((segment) => segment.toLowerCase());
  if (segments.at(-1) === '') segments.pop();
  const at = segments.lastIndexOf('providers');
  const service = at < 0 ? 'microsoft.resources' : segments[at + 1];
  const rest = at < 0 ? segments : segments.slice(at + 2);
  if (service === undefined || !/^[a-z0-9]+(\.[a-z0-9]+)+$/.test(service) || rest.length === 0) return {};
  // What there is beside providers is known by name.
  if (at < 0 && !/^subscriptions(?:\/[^/]+(?:\/resourcegroups(?:\/[^/]+)?)?)?$/.test(rest.join('/'))) return {};
  const types = rest.filter((_, index) => index % 2 === 0);
  if (!types.every((type) => /^[a-z0-9]+$/.test(type))) return { service };
  const listed = rest.length % 2 === 1;
  const verb = method === 'POST' ? (listed ? 'action' : undefined) : azureMethods[method];
  if (verb === undefined || (listed && (verb === 'write' || verb === 'delete'))) return { service };
  return { service, action: [service, ...types, verb].join('/') };
}
