import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import type { Prompt, Session } from '../../protocol.js';
import {
  admit,
  NotAdmitted,
  readBody,
  refuseLeak,
  sha256,
  type Admitted,
  type Forwarded,
  type Problem,
} from '../../web/index.js';
import { nextPage, passChecked, passHeld, passManifest, passPlain, type Fields } from './answer.js';
import { unknownManifest, type RegistryRequest } from './codec.js';
import { limited } from './enforce.js';
import { Knowing } from './knowing.js';
import { digestLike, manifest_bytes_max, readManifest } from './manifest.js';
import type { Digest } from './names.js';
import { operationOf, sourceOf, type Known } from './operation.js';
import type { Scope } from './tokens.js';
import type { RegistryTarget, Sent } from './upstream.js';
import { upload_ms_max, type Owner, type Upload, type UploadSeal } from './uploads.js';
import { Checked, Mismatch } from './verifying.js';

/** One request to a registry: judged as what it is, sent as it was judged, and answered with the gateway's own places. */

export interface HandlingParts {
  readonly request: RegistryRequest;
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly session: Session;
  /** The client's, which goes no further. */
  readonly token: string;
  readonly target: RegistryTarget;
  /** HOST:PORT of the registry. */
  readonly host: string;
  readonly seal: UploadSeal;
  readonly prompt: Prompt | undefined;
  readonly signal: AbortSignal;
  /** Runs what was let through, and records its outcome. */
  readonly forward: (admitted: Admitted, run: () => Promise<Forwarded>) => Promise<void>;
  readonly refuse: (problem: Problem) => void;
}

const empty_sha256 = sha256('');

export class Handling {
  readonly #parts: HandlingParts;

  constructor(parts: HandlingParts) {
    this.#parts = parts;
  }

  /** Throws what the answer is a refusal for. */
  run(): Promise<void> {
    const { request } = this.#parts;
    const { endpoint, method } = request;
    switch (endpoint.kind) {
      case 'manifest':
        if (method === 'PUT') return this.#pushManifest();
        return method === 'DELETE' ? this.#plain() : this.#pullManifest();
      case 'blob':
        return method === 'DELETE' ? this.#plain() : this.#pullBlob();
      case 'start':
        return request.from === undefined ? this.#start(request) : this.#mount();
      case 'upload':
        return this.#goOn(endpoint.session);
      case 'tags':
      case 'referrers':
        return this.#list();
    }
  }

  async #pullManifest(): Promise<void> {
    const { request, response, target, signal } = this.#parts;
    const { known, held } = await this.#knowing().ofPulled(request);
    const admitted = await this.#admit(request, known);
    await this.#forward(admitted, async (more) => {
      if (held === 'missing') throw unknownManifest();
      if (held !== undefined) return passHeld(held, response, more);
      const answer = await target.send(this.#sent(), signal);
      return request.method === 'GET' && answer.statusCode === 200
        ? passManifest(answer, response, request, more)
        : passPlain(answer, response, more);
    });
  }

  async #pullBlob(): Promise<void> {
    const { request, response, target, signal } = this.#parts;
    const admitted = await this.#admit(request);
    const { bytes: bytes_max } = admitted.decision.limits;
    await this.#forward(admitted, async (more) => {
      const digested = !request.fields.has('range');
      const answer = await target.fetch({ ...this.#sent(), digested }, signal);
      if (bytes_max !== undefined && Number(answer.headers['content-length'] ?? 0) > bytes_max) {
        answer.destroy();
        this.#parts.refuse(limited('bytes', bytes_max));
        return { bytes: 0, how: 'limit', code: 'limit_exceeded' };
      }
      if (request.method === 'HEAD') return passPlain(answer, response, more);
      return passChecked(answer, response, request, more, bytes_max);
    });
  }

  /** The manifest is held whole, and it is what people approve: its digest stands in the operation's hash. */
  async #pushManifest(): Promise<void> {
    const { request, incoming, token, response, target, signal } = this.#parts;
    const body = await readBody(incoming, manifest_bytes_max);
    try {
      refuseLeak([body.bytes], token);
      const manifest = readManifest(body.bytes, request.fields.get('content-type'));
      const expected = request.endpoint.kind === 'manifest' ? request.endpoint.digest : undefined;
      if (expected !== undefined && digestLike(body.bytes, expected) !== expected.text) throw new Mismatch();
      const known = await this.#knowing().ofPushed(manifest);
      const admitted = await this.#admit(request, known);
      await this.#forward(admitted, async (more) => {
        const fields = { ...this.#sent().fields, 'content-type': manifest.media_type };
        const answer = await target.send({ ...this.#sent(), fields, body: body.bytes }, signal);
        const location = answer.statusCode === 201 ? { location: this.#here() } : {};
        return passPlain(answer, response, { ...more, ...location });
      });
    } finally {
      body.release();
    }
  }

  /** What has no body, and an answer that goes on as it comes. */
  async #plain(): Promise<void> {
    const { request, response, target, signal } = this.#parts;
    const admitted = await this.#admit(request);
    await this.#forward(admitted, async (more) => passPlain(await target.send(this.#sent(), signal), response, more));
  }

  async #list(): Promise<void> {
    const { request, response, target, signal } = this.#parts;
    const admitted = await this.#admit(request);
    const query = new URLSearchParams([...request.parameters]).toString();
    await this.#forward(admitted, async (more) => {
      const sent = { ...this.#sent(), path: this.#path() + (query === '' ? '' : `?${query}`) };
      const answer = await target.send(sent, signal);
      const next = nextPage(answer.headers['link'], this.#here());
      return passPlain(
        answer,
        response,
        { ...more, ...(next === undefined ? {} : { link: next }) },
        admitted.decision.limits.bytes,
      );
    });
  }

  /**
   * A mount reads one repository and writes another: it has to be allowed as a pull of the one, and as what it is. Where the
   * pull is not, the upload begins as if no mount had been asked for, which clients are ready for.
   */
  async #mount(): Promise<void> {
    const { request, response, target, signal } = this.#parts;
    const { from, digest } = request;
    if (from === undefined || digest === undefined) throw new Error('a mount without its source');
    const source = await this.#admitSource(sourceOf({ ...request, from, digest }));
    const { from: _from, digest: _digest, ...upload } = request;
    if (source === undefined) return this.#start(upload);
    let settled = false;
    try {
      const admitted = await this.#admit(request);
      await this.#forward(admitted, async (more) => {
        const query = new URLSearchParams({ mount: digest.text, from }).toString();
        const sent = { ...this.#sent(), path: `${this.#path()}?${query}` };
        const answer = await target.send(sent, signal);
        source.submission.settle({
          status: answer.statusCode === 201 ? 'ok' : 'error',
          code: String(answer.statusCode),
        });
        settled = true;
        if (answer.statusCode !== 201) return this.#began(answer, sent.path, more);
        const location = `${this.#root()}/blobs/${digest.text}`;
        return passPlain(answer, response, { ...more, location, 'docker-content-digest': digest.text });
      });
    } finally {
      // The mount itself was not let through, or had no answer.
      if (!settled) source.submission.settle({ status: 'cancelled' });
    }
  }

  /** Undefined where the source may not be read, or only once people have answered. */
  async #admitSource(source: RegistryRequest): Promise<Admitted | undefined> {
    const { session, host } = this.#parts;
    if (session.decide(operationOf(source, host), this.#circumstances()).outcome === 'hold') return undefined;
    try {
      return await this.#admit(source);
    } catch (error) {
      if (error instanceof NotAdmitted) return undefined;
      throw error;
    }
  }

  /** An upload begins, or brings all of its blob at once. */
  async #start(request: RegistryRequest): Promise<void> {
    const { target, signal } = this.#parts;
    const admitted = await this.#admit(request);
    const { digest } = request;
    await this.#forward(admitted, async (more) => {
      const query = new URLSearchParams(startParameters(request)).toString();
      const path = this.#path() + (query === '' ? '' : `?${query}`);
      const body = digest === undefined ? {} : { body: this.#body(new Checked(digest)) };
      const answer = await target.send({ ...this.#sent(), path, ...body }, signal);
      if (answer.statusCode === 201 && digest !== undefined) return this.#finished(answer, digest, more);
      return this.#began(answer, path, more);
    });
  }

  /** The next part of an upload, its end, how far it is, or that it is given up. */
  async #goOn(sealed: string): Promise<void> {
    const { request, target, seal, response, signal } = this.#parts;
    const upload = seal.open(sealed, this.#owner(), Date.now());
    const { digest, method, bytes } = request;
    const expected = this.#expected(upload);
    const admitted = await this.#admit(request);
    await this.#forward(admitted, async (more) => {
      const { place } = upload;
      const path =
        digest === undefined
          ? place
          : `${place}${place.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest.text)}`;
      const checked = new Checked(expected);
      const carries = method === 'PATCH' || (method === 'PUT' && bytes !== 0);
      const body = carries ? { body: this.#body(checked) } : {};
      const answer = await target.send({ ...this.#sent(), path, ...body }, signal);
      const status = answer.statusCode ?? 0;
      if (method === 'PUT' && digest !== undefined && status === 201) return this.#finished(answer, digest, more);
      if (method === 'DELETE' || status < 200 || status > 299) return passPlain(answer, response, more);
      const first = carries && upload.whole?.bytes === 0;
      const whole = first ? { sha256: checked.found, bytes: checked.bytes } : carries ? undefined : upload.whole;
      return this.#began(answer, path, more, { whole });
    });
  }

  /**
   * The digest that what comes now has to have; undefined where it is only a part. Throws Mismatch where all of it has come
   * already, and is something else.
   */
  #expected({ whole }: Upload): Digest | undefined {
    const { digest, bytes } = this.#parts.request;
    if (digest === undefined || whole === undefined) return undefined;
    if (bytes !== 0) return whole.bytes === 0 ? digest : undefined;
    if (digest.algorithm === 'sha256' && whole.sha256 !== digest.hex) throw new Mismatch();
    return undefined;
  }

  /** Where the upload goes on is told as a place of the gateway. */
  async #began(
    answer: IncomingMessage,
    asked: string,
    more: Fields,
    { whole }: { readonly whole: Upload['whole'] } = { whole: { sha256: empty_sha256, bytes: 0 } },
  ): Promise<Forwarded> {
    const { response, target, seal } = this.#parts;
    const status = answer.statusCode ?? 0;
    if (status < 200 || status > 299) return passPlain(answer, response, more);
    const sealed = seal.seal({
      ...this.#owner(),
      place: target.place(answer.headers.location, asked),
      ...(whole === undefined ? {} : { whole }),
      expires_ms: Date.now() + upload_ms_max,
    });
    return passPlain(answer, response, { ...more, location: `${this.#root()}/blobs/uploads/${sealed}` });
  }

  #finished(answer: IncomingMessage, digest: Digest, more: Fields): Promise<Forwarded> {
    const location = `${this.#root()}/blobs/${digest.text}`;
    return passPlain(answer, this.#parts.response, { ...more, location, 'docker-content-digest': digest.text });
  }

  /** The client's bytes, on their way through the check. */
  #body(checked: Checked): NonNullable<Sent['body']> {
    const { incoming, request } = this.#parts;
    pipeline(incoming, checked, () => undefined);
    return { stream: checked, bytes: request.bytes };
  }

  #admit(request: RegistryRequest, known?: Known): Promise<Admitted> {
    const { session, host, signal } = this.#parts;
    return admit(session, operationOf(request, host, known), this.#circumstances(), () => ({}), signal);
  }

  #forward(admitted: Admitted, run: (more: Fields) => Promise<Forwarded>): Promise<void> {
    return this.#parts.forward(admitted, () => run({ 'x-sallyport-decision': admitted.decision.id }));
  }

  #circumstances() {
    const { prompt } = this.#parts;
    return prompt === undefined ? {} : { prompt };
  }

  #knowing(): Knowing {
    const { target, request, session, signal } = this.#parts;
    return new Knowing(target, request.repository, session, signal);
  }

  #owner(): Owner {
    const { session, request } = this.#parts;
    const { issuer, subject } = session.principal;
    return { issuer, subject, target: request.target, repository: request.repository };
  }

  #sent(): Sent {
    const { request } = this.#parts;
    const fields = Object.fromEntries(request.fields);
    return { method: request.method, path: this.#path(), scope: scopeOf(request), fields };
  }

  /** At the registry. */
  #path(): string {
    const { repository, endpoint } = this.#parts.request;
    const root = `/v2/${repository}`;
    switch (endpoint.kind) {
      case 'manifest':
        return `${root}/manifests/${endpoint.tag ?? endpoint.digest?.text ?? ''}`;
      case 'blob':
        return `${root}/blobs/${endpoint.digest.text}`;
      case 'tags':
        return `${root}/tags/list`;
      case 'referrers':
        return `${root}/referrers/${endpoint.digest.text}`;
      default:
        return `${root}/blobs/uploads/`;
    }
  }

  /** The same, at the gateway. */
  #here(): string {
    return `/v2/${this.#parts.request.target}${this.#path().slice('/v2'.length)}`;
  }

  #root(): string {
    const { target, repository } = this.#parts.request;
    return `/v2/${target}/${repository}`;
  }
}

/** Never those of a mount: that is another request. */
function startParameters({ digest, parameters }: RegistryRequest): [string, string][] {
  if (digest !== undefined) return [['digest', digest.text]];
  return [...parameters].filter(([name]) => name === 'digest-algorithm');
}

/** What a token has to be good for, where the registry takes tokens. */
function scopeOf({ method, repository, endpoint: { kind }, from }: RegistryRequest): Scope {
  const upload = kind === 'start' || kind === 'upload';
  const reads = method === 'GET' || method === 'HEAD';
  const actions = upload || method === 'PUT' ? 'pull,push' : reads ? 'pull' : 'delete';
  return { repository, actions, from };
}
