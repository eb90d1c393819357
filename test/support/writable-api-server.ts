import type { ServerResponse } from 'node:http';
import type { Heard } from './web.js';

/**
 * As much of an API server as keeps objects that are written to it: created, updated, and patched in each of the four forms, tried
 * or for good, with versions, conflicts and an admission that adds to what it is sent.
 */
export interface Writable {
  readonly answer: (request: Heard, response: ServerResponse) => void;
  /** By path. */
  readonly objects: Map<string, Fields>;
  /** Before whatever is written next: once. */
  before: (() => void) | undefined;
  /** What admission says of a write; undefined lets it through. */
  admission:
    ((object: Fields, dry: boolean) => { status: number; reason: string; message: string } | undefined) | undefined;
}

export type Fields = Record<string, unknown>;
interface Meta extends Fields {
  name?: string;
  resourceVersion?: string;
}

const metaOf = (object: Fields): Meta => (object['metadata'] ??= {}) as Meta;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

class Failure extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
  ) {
    super(message);
  }
}

export function writableApiServer(): Writable {
  let version = 100;
  const objects = new Map<string, Fields>();
  const write = (request: Heard): { status: number; object: Fields } => {
    const { pathname, searchParams } = new URL(request.url, 'http://server');
    const { method } = request;
    if (method === 'GET') {
      const object = objects.get(pathname);
      if (object === undefined) throw new Failure(404, 'NotFound', 'not there');
      return { status: 200, object };
    }
    server.before?.();
    server.before = undefined;
    const dry = searchParams.get('dryRun') === 'All';
    const sent = JSON.parse(request.body.toString()) as Fields;
    const path = method === 'POST' ? `${pathname}/${metaOf(sent).name ?? `made-${String(++version)}`}` : pathname;
    const now = objects.get(path);
    if (method === 'POST' && now !== undefined) throw new Failure(409, 'AlreadyExists', 'it is there');
    const media = request.headers['content-type'] ?? '';
    if (now === undefined && method === 'PATCH' && !media.includes('apply'))
      throw new Failure(404, 'NotFound', 'not there');
    const next = method === 'PATCH' ? patched(structuredClone(now ?? {}), sent, media) : structuredClone(sent);
    const wanted = metaOf(next).resourceVersion;
    if (wanted !== undefined && wanted !== '' && wanted !== (now && metaOf(now).resourceVersion))
      throw new Failure(409, 'Conflict', 'the object has been modified');
    const annotations = (metaOf(next)['annotations'] ??= {}) as Fields;
    annotations['admitted'] = 'yes';
    const said = server.admission?.(next, dry);
    if (said !== undefined) throw new Failure(said.status, said.reason, said.message);
    metaOf(next).name ??= path.split('/').at(-1)!;
    metaOf(next)['uid'] ??= `uid-${String(++version)}`;
    metaOf(next).resourceVersion = dry ? ((now && metaOf(now).resourceVersion) ?? '') : String(++version);
    if (!dry) objects.set(path, next);
    return { status: now === undefined ? 201 : 200, object: next };
  };
  const server: Writable = {
    objects,
    before: undefined,
    admission: undefined,
    answer: (request, response) => {
      const json = (status: number, value: unknown) => {
        const text = JSON.stringify(value);
        response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
        response.end(text);
      };
      try {
        const { status, object } = write(request);
        json(status, object);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        const { code, reason, message } = error;
        json(code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code });
      }
    },
  };
  return server;
}

function patched(object: Fields, patch: unknown, media: string): Fields {
  if (media.includes('json-patch')) return (patch as Step[]).reduce(stepped, object);
  return merged(object, patch, !media.includes('merge-patch+json') || media.includes('strategic')) as Fields;
}

interface Step {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

function stepped(object: Fields, { op, path, value }: Step): Fields {
  const names = path.split('/').slice(1);
  const last = names.pop()!;
  const parent = names.reduce<unknown>((at, name) => (at as Fields)[name], object) as Fields;
  if (op === 'test' && JSON.stringify(parent[last]) !== JSON.stringify(value))
    throw new Failure(422, 'Invalid', 'the test failed');
  if (op === 'remove') delete parent[last];
  if (op === 'add' || op === 'replace') parent[last] = value;
  return object;
}

/** Merged by member; lists whose elements have names by these, where that is wanted. */
function merged(now: unknown, patch: unknown, byName: boolean): unknown {
  if (Array.isArray(patch) && Array.isArray(now) && byName) {
    const rest = patch as Fields[];
    const own = (now as Fields[]).map((each) => {
      const change = rest.find(({ name }) => name === each['name']);
      return change === undefined ? each : merged(each, change, byName);
    });
    return [...own, ...rest.filter(({ name }) => !(now as Fields[]).some((each) => each['name'] === name))];
  }
  if (!isFields(patch)) return patch;
  const result: Fields = isFields(now) ? { ...now } : {};
  for (const [name, value] of Object.entries(patch))
    if (value === null) delete result[name];
    else result[name] = merged(result[name], value, byName);
  return result;
}
