import { readFields, readPairs, readPath, RequestRefusal } from '../../web/index.js';
import { digestOf, isTag, neededDigest, repositoryOf, type Digest } from './names.js';

/**
 * From a request to what it means to a registry, in the one way in which it can be read. Pure: no network, no clock.
 *
 * @see OCI distribution specification 1.1, "Endpoints"
 */

/** What a request is about. */
export type Endpoint =
  | { readonly kind: 'manifest'; readonly tag?: string; readonly digest?: Digest }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'start' }
  /** `session` is what the gateway gave as its place. */
  | { readonly kind: 'upload'; readonly session: string }
  | { readonly kind: 'tags' }
  | { readonly kind: 'referrers'; readonly digest: Digest };

export interface Addressed {
  readonly target: string;
  /** Without the target. */
  readonly repository: string;
  readonly endpoint: Endpoint;
  /** Without the question mark. */
  readonly query: string;
}

/** What is asked of the gateway itself: whether it speaks this API, and which repositories there are. */
export type Asked = Addressed | 'ping' | 'catalog';

export interface RegistryRequest {
  readonly method: Method;
  readonly target: string;
  readonly repository: string;
  readonly endpoint: Endpoint;
  readonly parameters: ReadonlyMap<string, string>;
  /** Of a mount: the repository that it reads, at the same target. */
  readonly from?: string;
  /** Of an upload that ends with this request: of all its bytes. Of a mount: the blob's. */
  readonly digest?: Digest;
  /** As Content-Length says; undefined where the body comes in chunks. */
  readonly bytes: number | undefined;
  /** What goes on of the fields. */
  readonly fields: ReadonlyMap<string, string>;
}

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Which methods there are at each endpoint, and which parameters each of them may have. */
const forms: Readonly<Record<Endpoint['kind'], Readonly<Partial<Record<Method, readonly string[]>>>>> = {
  manifest: { GET: [], HEAD: [], PUT: [], DELETE: [] },
  blob: { GET: [], HEAD: [], DELETE: [] },
  start: { POST: ['mount', 'from', 'digest', 'digest-algorithm'] },
  upload: { GET: [], PATCH: [], PUT: ['digest'], DELETE: [] },
  tags: { GET: ['n', 'last'] },
  referrers: { GET: ['artifactType', 'n', 'last'] },
};

const target_pattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const session_pattern = /^[A-Za-z0-9_-]{1,8192}$/;

/** @param raw The target of the request line, as it was sent: "/v2/…". Throws RequestRefusal. */
export function addressed(raw: string): Asked {
  if (raw.includes('#')) throw new RequestRefusal(400, 'path_form', 'the request has a fragment ("#")');
  const mark = raw.indexOf('?');
  const { segments } = readPath(mark < 0 ? raw : raw.slice(0, mark));
  const query = mark < 0 ? '' : raw.slice(mark + 1);
  const [, target = '', ...rest] = segments;
  if (target === '' && rest.length === 0) return 'ping';
  if (target === '_catalog' || rest.at(-1) === '_catalog') return 'catalog';
  if (!target_pattern.test(target)) throw unknown();
  return { target, query, ...placeOf(rest) };
}

function placeOf(segments: readonly string[]): Pick<Addressed, 'repository' | 'endpoint'> {
  const [last = '', before, third] = [...segments].reverse();
  const named = (behind: number) => repositoryOf(segments.slice(0, -behind));
  if (before === 'manifests') return { repository: named(2), endpoint: manifestOf(last) };
  if (before === 'blobs' && last === 'uploads') return { repository: named(2), endpoint: { kind: 'start' } };
  if (before === 'uploads' && third === 'blobs') {
    if (last === '') return { repository: named(3), endpoint: { kind: 'start' } };
    if (!session_pattern.test(last)) throw unknownUpload();
    return { repository: named(3), endpoint: { kind: 'upload', session: last } };
  }
  if (before === 'blobs') return { repository: named(2), endpoint: { kind: 'blob', digest: neededDigest(last) } };
  if (before === 'tags' && last === 'list') return { repository: named(2), endpoint: { kind: 'tags' } };
  if (before === 'referrers') {
    return { repository: named(2), endpoint: { kind: 'referrers', digest: neededDigest(last) } };
  }
  throw unknown();
}

function manifestOf(reference: string): Endpoint {
  const digest = digestOf(reference);
  if (digest !== undefined) return { kind: 'manifest', digest };
  if (!isTag(reference)) throw new RequestRefusal(400, 'reference_invalid', 'that is neither a tag nor a digest');
  return { kind: 'manifest', tag: reference };
}

const unknown = () =>
  new RequestRefusal(404, 'unsupported', 'there is nothing here: push and pull GATEWAY/TARGET/REPOSITORY:TAG');

export const unknownUpload = () =>
  new RequestRefusal(404, 'upload_unknown', 'there is no such upload here: begin it anew');

export const unknownManifest = () =>
  new RequestRefusal(404, 'manifest_unknown', 'there is no such manifest in the registry');

/** Throws RequestRefusal. */
export function readRequest(given: string, address: Addressed, raw: readonly string[]): RegistryRequest {
  const { target, repository, endpoint } = address;
  const allowed = forms[endpoint.kind];
  if (!Object.hasOwn(allowed, given)) {
    throw new RequestRefusal(405, 'unsupported', `${Object.keys(allowed).join(', ')} may be asked here, and no other`);
  }
  const method = given as Method;
  const parameters = readParameters(address.query, allowed[method] ?? []);
  const { all } = readFields(raw, true);
  const bytes = lengthOf(all);
  const request = { method, target, repository, endpoint, parameters, bytes, fields: forwardedOf(all, endpoint) };
  if (endpoint.kind === 'start') return { ...request, ...startOf(request, address) };
  if (endpoint.kind === 'upload' && method === 'PUT') {
    return { ...request, digest: neededDigest(parameters.get('digest') ?? '') };
  }
  const carries = method === 'PATCH' || method === 'PUT';
  if (!carries) refuseBody(request);
  return request;
}

function readParameters(query: string, names: readonly string[]): ReadonlyMap<string, string> {
  const { list } = readPairs(query, 'query');
  const parameters = new Map<string, string>();
  for (const { name, value = '' } of list) {
    if (!names.includes(name)) {
      throw new RequestRefusal(400, 'parameter_unknown', `the query has a parameter that is none of this endpoint's`);
    }
    if (!valid(name, value)) throw new RequestRefusal(400, 'parameter_invalid', `the parameter ${name} is malformed`);
    parameters.set(name, value);
  }
  return parameters;
}

function valid(name: string, value: string): boolean {
  switch (name) {
    case 'n':
      return /^[0-9]{1,6}$/.test(value);
    case 'last':
      return isTag(value) || digestOf(value) !== undefined;
    case 'artifactType':
      return /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}$/.test(value);
    case 'digest-algorithm':
      return value === 'sha256' || value === 'sha512';
    default:
      // Names and digests are looked at by those that use them.
      return true;
  }
}

/**
 * How an upload begins. A mount names a repository of its own target as clients know it, with the target before it; one of
 * another target, or of none in particular, cannot be judged: then the upload begins as if none had been asked for, as the
 * specification has it where a mount is not possible.
 */
function startOf(request: RegistryRequest, { target }: Addressed): Partial<RegistryRequest> {
  const { parameters } = request;
  const [mount, from, digest] = ['mount', 'from', 'digest'].map((name) => parameters.get(name));
  if (mount !== undefined && digest !== undefined) {
    throw new RequestRefusal(400, 'parameter_invalid', 'an upload either mounts a blob or brings it');
  }
  if (digest !== undefined) return { digest: neededDigest(digest) };
  refuseBody(request);
  if (mount === undefined) return {};
  const asked = neededDigest(mount);
  if (from === undefined) return {};
  const [place, ...components] = from.split('/');
  const repository = repositoryOf(components.length === 0 ? [place ?? ''] : components);
  return place === target && components.length > 0 ? { from: repository, digest: asked } : {};
}

function refuseBody({ bytes, method }: RegistryRequest): void {
  if (bytes === 0) return;
  throw new RequestRefusal(
    400,
    'body_unexpected',
    `${method} has no body here: servers disagree on what one would mean`,
  );
}

/** Zero where there is no body. */
function lengthOf(all: ReadonlyMap<string, string>): number | undefined {
  const encoding = all.get('content-encoding');
  if (encoding !== undefined && encoding !== 'identity') {
    throw new RequestRefusal(415, 'content_encoding', 'the body is compressed on its way: send it as it is');
  }
  if (all.has('transfer-encoding')) return undefined;
  const length = all.get('content-length');
  if (length === undefined) return 0;
  if (!/^[0-9]{1,15}$/.test(length)) throw new RequestRefusal(400, 'size_invalid', 'Content-Length is no number');
  return Number(length);
}

function forwardedOf(all: ReadonlyMap<string, string>, { kind }: Endpoint): ReadonlyMap<string, string> {
  const names = ['accept', 'user-agent', ...(kind === 'blob' ? ['range'] : [])];
  const fields = new Map(names.flatMap((name) => (all.has(name) ? [[name, all.get(name)!] as const] : [])));
  if (kind === 'manifest' && all.has('content-type')) fields.set('content-type', all.get('content-type')!);
  if (kind !== 'upload' && kind !== 'start') return fields;
  const range = all.get('content-range');
  if (range !== undefined) {
    if (!/^(?:bytes )?[0-9]{1,15}-[0-9]{1,15}(?:\/(?:[0-9]{1,15}|\*))?$/.test(range)) {
      throw new RequestRefusal(416, 'range_invalid', 'the field Content-Range names no range of bytes');
    }
    fields.set('content-range', range);
  }
  fields.set('content-type', 'application/octet-stream');
  return fields;
}
