import type { IncomingMessage } from 'node:http';
import type { Decision } from '#engine';
import type { Enforced, Mount, Prompt, Services, Session, Target } from '../../protocol.js';
import {
  admit,
  answerFields,
  Exchange,
  mountOf,
  pass,
  promptOf,
  readBody,
  RequestRefusal,
  signIn,
  TargetPool,
  type ExchangeParts,
  type Fields,
  type Forwarded,
  type Presented,
} from '../../web/index.js';
import { addressed, readFields, readRequest, type Request } from './codec.js';
import type { HttpUpstream } from './config.js';
import { limitProblem, obligations } from './enforce.js';
import { passMasked } from './masked.js';
import { answerMasks, checkMasked, MaskRefusal, unconditional, type AnswerMasks } from './masking.js';
import { operationOf, servesGraphql } from './operation.js';
import { checkSignature, replacedBy } from './signing/authorizing.js';
import { HttpTarget } from './upstream.js';
import { withhold } from './withheld.js';

/** `https://gateway/http/TARGET/…`: each request is one operation, from its first byte to its answer's last. */

interface Parts extends ExchangeParts {
  readonly targets: TargetPool<HttpUpstream, HttpTarget>;
}

export function reverseGate(services: Services): Mount {
  const targets = new TargetPool<HttpUpstream, HttpTarget>((upstream, renewed) => new HttpTarget(upstream, renewed));
  const mount = mountOf(
    '/http/',
    services,
    (request, response, parts) => new HttpExchange(request, response, { ...parts, targets }),
    () => targets.close(),
  );
  return { ...mount, reaches: ({ upstream }) => (upstream as HttpUpstream | undefined)?.reverse !== false };
}

/** One request and its answer. */
class HttpExchange extends Exchange {
  protected readonly protocol = 'http';
  protected readonly supports = obligations;
  readonly #targets: Parts['targets'];

  constructor(request: Exchange['request'], response: Exchange['response'], parts: Parts) {
    super(request, response, parts);
    this.#targets = parts.targets;
  }

  protected async serve(): Promise<void> {
    const { request } = this;
    const address = addressed(request.url ?? '');
    this.target = address.target;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const seen = readFields(request.rawHeaders, false);
    const presented = await signIn(this.services, seen.all, request.socket, this.client);
    const { identity } = presented;
    const target = this.find(address.target);
    const upstream = target.upstream as HttpUpstream;
    if (!upstream.reverse) {
      throw new RequestRefusal(404, 'egress_only', 'this target has no URL: it is reached through the egress proxy');
    }
    const fields = fieldsFor(request.rawHeaders, upstream, presented);
    const body = await readBody(request, upstream.body_bytes_max);
    try {
      const read = readRequest(request.method ?? '', address, fields, body.bytes, upstream);
      refuseLeak(read, presented.token);
      refuseCredentials(read, upstream);
      checkSignature(upstream.signing, fields, read.query);
      const held = this.session(identity, target, presented.token, seen.all.get('user-agent'));
      await this.during(held, () => this.#operate(held.session, read, { target, upstream }, promptOf(seen.all)));
    } finally {
      body.release();
    }
  }

  async #operate(
    session: Session,
    request: Request,
    { target, upstream }: { readonly target: Target; readonly upstream: HttpUpstream },
    prompt: Prompt | undefined,
  ): Promise<void> {
    let masks: AnswerMasks | undefined;
    const enforce = (decision: Decision): Enforced => {
      try {
        masks = answerMasks(decision.masks, () => this.#maskKey());
        if (masks !== undefined) checkMasked(request, masks, servesGraphql(request, upstream));
        return {};
      } catch (error) {
        if (!(error instanceof MaskRefusal || error instanceof RequestRefusal)) throw error;
        return { refusal: { code: 'mask_unenforceable', message: error.message } };
      }
    };
    const circumstances = { ...(prompt === undefined ? {} : { prompt }), withhold };
    const admitted = await admit(session, operationOf(request, upstream), circumstances, enforce, this.signal);
    const { decision } = admitted;
    const sender = this.#targets.of(target, upstream);
    await this.forward(
      admitted,
      () => limitProblem(decision, this.target, 'seconds'),
      () => this.#pass(request, sender, decision, masks),
    );
  }

  #maskKey(): string {
    const key = this.services.maskKey?.(this.target);
    if (key === undefined) throw new MaskRefusal('this gateway keeps no keys for masks');
    return key;
  }

  /** Sends what was let through, and passes the answer on. */
  async #pass(
    request: Request,
    target: HttpTarget,
    decision: Decision,
    masks: AnswerMasks | undefined,
  ): Promise<Forwarded> {
    const { bytes: bytes_max } = decision.limits;
    const { fields } = request;
    const sent =
      masks === undefined ? request : { ...request, fields: { ...fields, forwarded: unconditional(request) } };
    const answer = await target.send(sent, this.signal);
    const code = String(answer.statusCode ?? 0);
    const large = bytes_max !== undefined && Number(answer.headers['content-length'] ?? 0) > bytes_max;
    if (large) answer.destroy();
    const passed = large ? ({ bytes: 0, how: 'limit' } as const) : await this.#answer(answer, target, decision, masks);
    if (passed.how === 'limit') this.refuse(limitProblem(decision, this.target, 'bytes'));
    return { ...passed, code };
  }

  #answer(answer: IncomingMessage, target: HttpTarget, decision: Decision, masks: AnswerMasks | undefined) {
    const mounted = `/http/${this.target}`;
    const field = (name: string, value: string) =>
      name === 'location' || name === 'content-location' ? (target.location(value, mounted) ?? value) : value;
    const { bytes: bytes_max } = decision.limits;
    const more: [string, string][] = [['x-sallyport-decision', decision.id]];
    if (masks !== undefined) return passMasked(answer, this.response, masks, { bytes_max, field, more });
    const fields = [...answerFields(answer.rawHeaders, field), ...more];
    this.response.writeHead(answer.statusCode ?? 502, fields.flat());
    return pass(answer, this.response, bytes_max);
  }
}

/** What goes on: of the client's credentials none where the gateway has one, and never the token. */
function fieldsFor(raw: readonly string[], { credential, signing }: HttpUpstream, { field }: Presented): Fields {
  const { forwarded, credentials, all } = readFields(raw, credential !== undefined || signing !== undefined);
  const without = new Map(forwarded);
  for (const name of [field, ...replacedBy(signing), credential?.name ?? '']) without.delete(name);
  return { forwarded: without, credentials: credentials.filter((name) => without.has(name)), all };
}

/** Where a client may say who it is beside fields: RFC 6750, 2.2 and 2.3, and what APIs call their keys. */
const credentialNames = /^(?:access_token|oauth_token|api[_-]?key|x-api-key)$/i;

/** Fields of the client's own are left out; what stands in a query or form is judged, so it cannot be. */
function refuseCredentials({ query, body }: Request, { credential, signing }: HttpUpstream): void {
  if (credential === undefined && signing === undefined) return;
  const names = [...query.list.map(({ name }) => name), ...Object.keys(body.seen?.form ?? {})];
  if (names.some((name) => credentialNames.test(name))) {
    throw new RequestRefusal(
      400,
      'credential_in_query',
      'the query or form has a credential of your own: the gateway has one for this target, send the request without',
    );
  }
}

/** The token is for the gateway alone, wherever else in the request somebody put it. */
function refuseLeak({ path, query, fields, body }: Request, token: string): void {
  const inside =
    path.segments.some((segment) => segment.includes(token)) ||
    query.list.some(({ name, value = '' }) => name.includes(token) || value.includes(token)) ||
    [...fields.forwarded.values()].some((value) => value.includes(token)) ||
    body.bytes.includes(token);
  if (inside) {
    throw new RequestRefusal(
      400,
      'token_in_request',
      'your token stands in the request itself: it is for the gateway alone',
    );
  }
}
