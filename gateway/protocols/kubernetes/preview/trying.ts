import type { IncomingMessage } from 'node:http';
import { UpstreamError } from '../../../errors.js';
import { bodyOf, readAnswer, RequestRefusal } from '../../../web/index.js';
import { parameter, type Address } from '../address.js';
import type { KubernetesRequest, ObjectBody } from '../codec.js';
import { pinned } from './precondition.js';
import { whyUntriable } from './support.js';

/**
 * What a write would become: the API server is asked to do all of it but keep it (`dryRun=All`), with defaults, admission and
 * whatever its own webhooks add. What is tried is what leaves later: the same bytes, bound to the version of the object that they
 * were tried on.
 *
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
 */
export type Tried = Known | Unknown;

export interface Known {
  readonly known: true;
  /** As it is now; undefined where there is none. */
  readonly before: unknown;
  /** As it would be. */
  readonly after: unknown;
  /** What is to be sent. */
  readonly body: ObjectBody;
  /** True: it is only done to the object as it was tried on, and its client had not asked for that. */
  readonly pinned: boolean;
}

export interface Unknown {
  readonly known: false;
  /** In words for people; it quotes no value. */
  readonly why: string;
  /** Where the API server refused it: what it said. It would say the same to the request itself. */
  readonly refusal?: { readonly status: number; readonly text: string };
}

/** Sends a request of the gateway's own; resolves with the head of its answer. */
export type Send = (request: KubernetesRequest) => Promise<IncomingMessage>;

/** Of an object: more is not judged. */
const object_bytes_max = 1_048_576;
/** An object may change between the look at it and the try. */
const tries_max = 3;
const verbs = new Set(['create', 'update', 'patch']);
/** Those that answer with an object that was changed, and change none where they are only tried. */
const subresources = new Set(['', 'status', 'scale', 'resize', 'ephemeralcontainers']);

/** Whether it writes an object at all, and not only asks something in the form of one. */
export const writes = ({ info }: KubernetesRequest): boolean => info.isResource && verbs.has(info.verb);

/** Throws UpstreamError where the API server cannot be asked. */
export async function tryOut(request: KubernetesRequest, send: Send): Promise<Tried> {
  const why = whyNot(request) ?? (await whyUntriable(request, send));
  if (why !== undefined) return { known: false, why };
  for (let tries = 1; ; tries++) {
    const now = await lookAt(request, send);
    if (!now.known) return now;
    const own = ownVersion(request.body);
    const other = own !== undefined && own !== now.version;
    const body = other || now.version === undefined ? request.body : pinned(request.body, now.version);
    if (body === undefined) return { known: false, why: 'it has no metadata that a version could stand in' };
    const answer = await send({ ...request, body, address: dry(request.address) });
    const pins = now.version !== undefined && own === undefined;
    if (answer.statusCode === 409 && pins && tries < tries_max) {
      answer.destroy();
      continue;
    }
    const read = await readObject(answer, 'a dry run of it');
    if (!read.known) return read;
    // A conflict, else: there it would be done to whatever is there by then.
    if (other) return { known: false, why: 'it is for another version of the object than the one that is there' };
    return { known: true, before: now.object, after: read.object, body, pinned: pins };
  }
}

function whyNot({ info, body, address }: KubernetesRequest): string | undefined {
  if (!info.isResource || !verbs.has(info.verb)) return 'only what is created, updated or patched can be tried';
  if (!subresources.has(info.subresource)) return `the subresource ${info.subresource} cannot be tried`;
  if (body.opaque || body.object === undefined) return 'what it writes is not understood';
  if (typeof body.object !== 'object' || body.object === null) return 'what it writes is no object';
  if (hasDirective(body)) return 'directives ($patch, …) stand beside its metadata';
  const dryRun = address.parameters['dryRun'];
  if (dryRun !== undefined && !(dryRun.length === 1 && dryRun[0] === 'All')) return 'it asks for an unknown dry run';
  return undefined;
}

const dry = (address: Address): Address =>
  parameter(address, 'dryRun') === undefined
    ? { ...address, text: `${address.text}${address.text.includes('?') ? '&' : '?'}dryRun=All` }
    : address;

/** The version that its client itself says it is for; undefined where it says none. */
function ownVersion({ object, patch }: ObjectBody): string | undefined {
  const version = patch === 'json' ? versionSet(object) : (object as { metadata?: Metadata }).metadata?.resourceVersion;
  return typeof version === 'string' && version !== '' ? version : undefined;
}

type Metadata = { readonly resourceVersion?: unknown } | null;

/** By the last operation of a JSON patch that is about it. */
function versionSet(operations: unknown): unknown {
  if (!Array.isArray(operations)) return undefined;
  const about = (operations as unknown[]).filter(
    (each) => (each as { path?: unknown } | null)?.path === '/metadata/resourceVersion',
  ) as { readonly op?: unknown; readonly value?: unknown }[];
  const last = about.filter(({ op }) => op !== 'test').at(-1);
  return last?.op === 'add' || last?.op === 'replace' ? last.value : undefined;
}

/** Directives of a strategic merge: where one stands beside it, a version may not be heeded. */
function hasDirective({ object, patch }: ObjectBody): boolean {
  if (patch !== 'strategic') return false;
  const { metadata } = object as { metadata?: object | null };
  return [...Object.keys(object as object), ...Object.keys(metadata ?? {})].some((name) => name.startsWith('$'));
}

type Now = { readonly known: true; readonly object: unknown; readonly version: string | undefined } | Unknown;

/** The object as it is: before it is created there is none. */
async function lookAt(request: KubernetesRequest, send: Send): Promise<Now> {
  const none: Now = { known: true, object: undefined, version: undefined };
  if (request.info.verb === 'create') return none;
  const [path = ''] = request.address.text.split('?');
  const address: Address = { ...request.address, parameters: {}, text: path };
  const answer = await send({ ...request, method: 'GET', address, body: { bytes: Buffer.alloc(0), opaque: false } });
  if (answer.statusCode === 404) {
    answer.destroy();
    return none;
  }
  const read = await readObject(answer, 'a look at the object');
  // To look and to write are two rights: that it may not be looked at is no answer to the request itself.
  if (!read.known) return { known: false, why: read.why };
  const { metadata } = read.object as { metadata: { resourceVersion?: unknown } };
  const version = metadata.resourceVersion;
  if (typeof version !== 'string' || version === '') return { known: false, why: 'the object has no version' };
  return { known: true, object: read.object, version };
}

type Read = { readonly known: true; readonly object: unknown } | Unknown;

async function readObject(answer: IncomingMessage, what: string): Promise<Read> {
  const status = answer.statusCode ?? 0;
  let bytes: Buffer;
  try {
    bytes = await readAnswer(answer, object_bytes_max);
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error;
    return {
      known: false,
      why: `the API server answered ${what} with more than ${object_bytes_max} bytes, or broke off`,
    };
  }
  if (status < 200 || status > 299) return refused(status, bytes.toString('utf8'), what);
  const object = objectOf(bytes);
  return object === undefined
    ? { known: false, why: `the API server answered ${what} with what is no object` }
    : { known: true, object };
}

function refused(status: number, text: string, what: string): Unknown {
  const why = `the API server answered ${what} with ${status}`;
  // The request itself could well be done: a webhook that has effects of its own is not asked to try.
  const untriable = status >= 500 || /dry.?run/i.test(text);
  return untriable ? { known: false, why } : { known: false, why, refusal: { status, text } };
}

const asJson = new Map([['content-type', 'application/json']]);

function objectOf(bytes: Buffer): unknown {
  let object: unknown;
  try {
    object = bodyOf(bytes, asJson, { repeated: new Set() }).seen?.json;
  } catch (error) {
    if (!(error instanceof RequestRefusal)) throw error;
  }
  const { kind, metadata } = (object ?? {}) as { kind?: unknown; metadata?: unknown };
  const isObject = typeof kind === 'string' && kind !== 'Status' && typeof metadata === 'object' && metadata !== null;
  return isObject ? object : undefined;
}
