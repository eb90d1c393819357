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

const name_pattern = /^[A-Z][A-Za-z0-9]{0,127}$/;

/** SERVICE.REGION.amazonaws.com; of S3 also with the bucket before it. */
function readAws(request: Request, { host, service: signedFor, base_segments }: CloudTarget): Named {
  const [, known] =
    /^(?:.+\.(?=s3[.-]))?([a-z0-9-]+?)(?:[.-][a-z]+(?:-[a-z]+)+-\d)?\.amazonaws\.com(?:\.cn)?$/.exec(host) ?? [];
  const service = signedFor ?? known;
  if (service === undefined) return {};
  if (service === 's3') return { service, action: s3Action(request, host) };
  const segments = request.path.segments.slice(base_segments);
  const prefix = Object.hasOwn(targetPrefixes, service) ? targetPrefixes[service] : undefined;
  const asked = [
    ...(Object.hasOwn(queryServices, service) ? queried(request, segments, queryServices[service] === 'any') : []),
    ...targeted(request, segments, prefix),
  ];
  const [action] = asked;
  // Said twice, by whichever protocols: services differ on which one they take. A third one says it in the path.
  const once = asked.length === 1 && !request.fields.forwarded.has('smithy-protocol');
  return once && action !== undefined && name_pattern.test(action) ? { service, action } : { service };
}

const atRoot = (segments: readonly string[]): boolean => segments.every((segment) => segment === '');

/** What is named in another way than it should be is "", which is the name of nothing. */
function queried({ method, query, body: { seen } }: Request, segments: readonly string[], anywhere: boolean): string[] {
  const fits = (method === 'GET' || method === 'POST') && (anywhere || atRoot(segments));
  // To services that do not look at its type, another body is a form with an action of its own.
  const clear = fits && (seen === undefined || seen.kind === 'form');
  const pairs = [
    ...query.list.map(({ name, value = '' }) => [name, value] as const),
    ...Object.entries(seen?.form ?? {}).flatMap(([name, values]) => values.map((value) => [name, value] as const)),
  ];
  return pairs
    .filter(([name]) => name.toLowerCase() === 'action')
    .map(([name, value]) => (clear && name === 'Action' ? value : ''));
}

/** @param prefix Undefined for services that are not asked so. */
function targeted({ method, fields, body: { seen } }: Request, segments: readonly string[], prefix?: string): string[] {
  const target = fields.forwarded.get('x-amz-target');
  if (target === undefined) return [];
  const json = seen === undefined || seen.kind === 'json' || seen.kind === 'binary';
  const fits = method === 'POST' && json && atRoot(segments) && prefix !== undefined && target.startsWith(`${prefix}.`);
  // What is another service's makes it unclear, and not only absent.
  return [fits ? target.slice(prefix.length + 1) : ''];
}

/**
 * Hosts of S3 that serve buckets and objects: with a bucket before them, or with one in the path. Its other hosts (of access points'
 * administration, for one) have other actions.
 *
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
 */
const s3_host =
  /^(?:(.+)\.)?s3(?:-fips|-accelerate|-accesspoint)?(?:\.dualstack)?(?:[.-][a-z]+(?:-[a-z]+)+-\d)?\.amazonaws\.com(?:\.cn)?$/;

/** The path is read whole: what the target's URL has of it is a bucket, too. Elsewhere than at AWS the bucket is in the path. */
function s3Action({ method, path: { segments }, query, fields }: Request, host: string): string | undefined {
  const found = s3_host.exec(host);
  if (found === null && /\.amazonaws\.com(?:\.cn)?$/.test(host)) return undefined;
  const bucketInHost = found?.[1] !== undefined;
  // S3 decodes first: behind an encoded slash the object begins.
  if (!bucketInHost && segments[0]?.includes('/') === true) return undefined;
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

/** @see https://cloud.google.com/apis/docs/system-parameters */
const googleModifiers: ReadonlySet<string> = new Set(['$alt', '$fields', '$prettyPrint', '$userProject', '$.xgafv']);

/** SERVICE.googleapis.com; elsewhere (a private endpoint) whichever service has the path, if it is the only one. */
function readGoogle({ method, path, query }: Request, { host }: CloudTarget): Named {
  const [, named] = /^([a-z-]+)\.googleapis\.com$/.exec(host) ?? [];
  // Google's system parameters ("$httpMethod") make another request of it; those that only shape the answer do not.
  if (query.list.some(({ name }) => name.startsWith('$') && !googleModifiers.has(name))) {
    return named === undefined ? {} : { service: named };
  }
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
  // An encoded slash in a name may be one to Azure, and what stands behind it another type.
  if (!types.every((type) => /^[a-z0-9]+$/.test(type)) || rest.some((name) => name.includes('/'))) return { service };
  const listed = rest.length % 2 === 1;
  const verb = method === 'POST' ? (listed ? 'action' : undefined) : azureMethods[method];
  if (verb === undefined || (listed && (verb === 'write' || verb === 'delete'))) return { service };
  return { service, action: [service, ...types, verb].join('/') };
}
