import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A registry of images in memory, as the OCI distribution specification 1.1 has it: uploads in parts with a state in their
 * place, mounts, manifests that name only blobs which are there, tags in pages, referrers, blobs that are kept elsewhere.
 */
export interface TestRegistry {
  readonly port: number;
  /** What was asked, in order: "PUT /v2/…". */
  readonly heard: { readonly line: string; readonly authorization: string | undefined }[];
  readonly repositories: Map<string, Repository>;
  /** What is asked of its storage; there are blobs where `elsewhere` is true. */
  readonly storage: { readonly port: number; readonly heard: { readonly authorization: string | undefined }[] };
  elsewhere: boolean;
  /** False: it knows no referrers, as registries before OCI 1.1. */
  referrers: boolean;
  /** What it says in WWW-Authenticate, with 401, of a request; undefined: it is taken. */
  challenges: ((request: Challenged) => string | undefined) | undefined;
  /** Changes what a blob's bytes are on their way out. */
  corrupts: ((bytes: Buffer) => Buffer) | undefined;
  close(): Promise<void>;
}

export interface Challenged {
  readonly authorization: string | undefined;
  readonly method: string;
  /** Empty where none is named. */
  readonly repository: string;
}

export interface Repository {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, { readonly media: string; readonly bytes: Buffer }>;
  readonly tags: Map<string, string>;
}

export const digestOf = (bytes: Buffer | string): string =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const page_entries = 2;

export async function startRegistry(): Promise<TestRegistry> {
  const uploads = new Map<string, { readonly repository: string; bytes: Buffer; state: string }>();
  const heard: { line: string; authorization: string | undefined }[] = [];
  const storageHeard: { authorization: string | undefined }[] = [];
  const repositories = new Map<string, Repository>();

  const storage = createServer((request, response) => {
    storageHeard.push({ authorization: request.headers.authorization });
    const found = [...repositories.values()].map(({ blobs }) => blobs.get(request.url?.slice(1) ?? ''));
    response.end(found.find((one) => one !== undefined));
  });
  const server = createServer((request, response) => void answer(request, response));
  const storagePort = await listening(storage);
  const registry: TestRegistry = {
    port: await listening(server),
    heard,
    repositories,
    storage: { port: storagePort, heard: storageHeard },
    elsewhere: false,
    referrers: true,
    challenges: undefined,
    corrupts: undefined,
    close: async () => {
      await Promise.all([server, storage].map(closed));
    },
  };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    heard.push({ line: `${method} ${url}`, authorization: request.headers.authorization });
    const body = await whole(request);
    if (body === undefined) return;
    const place = new URL(url, 'http://registry');
    const found = /^\/v2\/(.+)\/(manifests|blobs\/uploads|blobs|tags|referrers)\/([^/]*)$/.exec(place.pathname) ?? [];
    const [, name = '', kind = '', last = ''] = found;
    const challenge = registry.challenges?.({ authorization: request.headers.authorization, method, repository: name });
    if (challenge !== undefined) {
      response.setHeader('www-authenticate', challenge);
      return fail(response, 401, 'UNAUTHORIZED');
    }
    if (kind === '') return fail(response, 404, 'UNSUPPORTED');
    let repository = repositories.get(name);
    if (repository === undefined && (method === 'POST' || method === 'PUT')) {
      repositories.set(name, (repository = { blobs: new Map(), manifests: new Map(), tags: new Map() }));
    }
    if (repository === undefined) return fail(response, 404, 'NAME_UNKNOWN');
    const asked: Asked = { method, name, last, query: place.searchParams, repository, body, request, response };
    switch (kind) {
      case 'manifests':
        return manifests(asked);
      case 'blobs':
        return blobs(asked);
      case 'blobs/uploads':
        return upload(asked);
      case 'tags':
        return tags(asked);
      default:
        return registry.referrers ? referrers(asked) : fail(response, 404, 'UNSUPPORTED');
    }
  }

  function manifests({ method, name, last, repository, body, request, response }: Asked): void {
    const digest = last.includes(':') ? last : (repository.tags.get(last) ?? '');
    if (method === 'PUT') {
      const found = digestOf(body);
      if (last.includes(':') && last !== found) return fail(response, 400, 'DIGEST_INVALID');
      const { config, layers = [] } = JSON.parse(body.toString()) as {
        config?: { digest: string };
        layers?: { digest: string }[];
      };
      const named = [...layers, ...(config === undefined ? [] : [config])];
      if (named.some((one) => !repository.blobs.has(one.digest))) return fail(response, 404, 'MANIFEST_BLOB_UNKNOWN');
      repository.manifests.set(found, { media: request.headers['content-type'] ?? '', bytes: body });
      if (!last.includes(':')) repository.tags.set(last, found);
      response.writeHead(201, { location: `/v2/${name}/manifests/${found}`, 'docker-content-digest': found });
      return void response.end();
    }
    const manifest = repository.manifests.get(digest);
    if (manifest === undefined) return fail(response, 404, 'MANIFEST_UNKNOWN');
    if (method === 'DELETE') {
      if (last.includes(':')) repository.manifests.delete(digest);
      else repository.tags.delete(last);
      return void response.writeHead(202).end();
    }
    response.writeHead(200, {
      'content-type': manifest.media,
      'content-length': String(manifest.bytes.length),
      'docker-content-digest': digest,
    });
    response.end(method === 'HEAD' ? undefined : manifest.bytes);
  }

  function blobs({ method, last, repository, request, response }: Asked): void {
    const blob = repository.blobs.get(last);
    if (blob === undefined) return fail(response, 404, 'BLOB_UNKNOWN');
    if (method === 'DELETE') {
      repository.blobs.delete(last);
      return void response.writeHead(202).end();
    }
    if (method === 'GET' && registry.elsewhere) {
      const location = `http://127.0.0.1:${String(storagePort)}/${last}`;
      return void response.writeHead(307, { location }).end();
    }
    const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const bytes = registry.corrupts?.(blob) ?? blob;
    const part = from === '' ? bytes : bytes.subarray(Number(from), Number(to) + 1);
    response.writeHead(from === '' ? 200 : 206, {
      'content-type': 'application/octet-stream',
      'content-length': String(part.length),
      'docker-content-digest': last,
    });
    response.end(method === 'HEAD' ? undefined : part);
  }

  function upload(asked: Asked): void {
    const { method, name, last, query, repository, body, request, response } = asked;
    if (method === 'POST') {
      const mounted = repositories.get(query.get('from') ?? '')?.blobs.get(query.get('mount') ?? '');
      if (mounted !== undefined) return store(asked, query.get('mount') ?? '', mounted);
      if (query.has('digest')) return store(asked, query.get('digest') ?? '', body);
      const id = randomUUID();
      uploads.set(id, { repository: name, bytes: Buffer.alloc(0), state: randomUUID() });
      return goOn(asked, id, 202);
    }
    const known = uploads.get(last);
    const current = known !== undefined && known.repository === name && known.state === query.get('_state');
    if (!current) return fail(response, 404, 'BLOB_UPLOAD_UNKNOWN');
    if (method === 'GET') return goOn(asked, last, 204);
    if (method === 'DELETE') {
      uploads.delete(last);
      return void response.writeHead(204).end();
    }
    const [, start] = /^(\d+)-/.exec(request.headers['content-range'] ?? '') ?? [];
    if (start !== undefined && Number(start) !== known.bytes.length) return fail(response, 416, 'BLOB_UPLOAD_INVALID');
    known.bytes = Buffer.concat([known.bytes, body]);
    known.state = randomUUID();
    if (method === 'PATCH') return goOn(asked, last, 202);
    uploads.delete(last);
    store({ ...asked, repository }, query.get('digest') ?? '', known.bytes);
  }

  function goOn({ name, response }: Asked, id: string, status: number): void {
    const { bytes, state } = uploads.get(id)!;
    response.writeHead(status, {
      location: `http://127.0.0.1:${String(registry.port)}/v2/${name}/blobs/uploads/${id}?_state=${state}`,
      range: `0-${String(Math.max(0, bytes.length - 1))}`,
      'docker-upload-uuid': id,
    });
    response.end();
  }

  return registry;
}

interface Asked {
  readonly method: string;
  readonly name: string;
  readonly last: string;
  readonly query: URLSearchParams;
  readonly repository: Repository;
  readonly body: Buffer;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

function store({ name, repository, response }: Asked, digest: string, bytes: Buffer): void {
  if (digestOf(bytes) !== digest) return fail(response, 400, 'DIGEST_INVALID');
  repository.blobs.set(digest, bytes);
  response.writeHead(201, { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest });
  response.end();
}

function tags({ name, query, repository, response }: Asked): void {
  const all = [...repository.tags.keys()].sort();
  const first = all.indexOf(query.get('last') ?? '') + 1;
  const count = Number(query.get('n') ?? page_entries);
  const shown = all.slice(first, first + count);
  const next = `</v2/${name}/tags/list?n=${String(count)}&last=${shown.at(-1) ?? ''}>; rel="next"`;
  response.writeHead(200, {
    'content-type': 'application/json',
    ...(first + count < all.length ? { link: next } : {}),
  });
  response.end(JSON.stringify({ name, tags: shown }));
}

function referrers({ last, repository, response }: Asked): void {
  const about = [...repository.manifests].flatMap(([digest, { media, bytes }]) => {
    const { subject, artifactType } = JSON.parse(bytes.toString()) as {
      subject?: { digest: string };
      artifactType?: string;
    };
    return subject?.digest === last ? [{ mediaType: media, digest, size: bytes.length, artifactType }] : [];
  });
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  response.writeHead(200, { 'content-type': mediaType });
  response.end(JSON.stringify({ schemaVersion: 2, mediaType, manifests: about }));
}

function fail(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ errors: [{ code, message: code }] }));
}

/** Undefined where it broke off. */
async function whole(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks);
}

const listening = (server: Server) =>
  new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  );

const closed = (server: Server) => {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(resolve));
};
