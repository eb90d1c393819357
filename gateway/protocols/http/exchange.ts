import type { IncomingMessage } from 'node:http';
import type { Decision } from '#engine';
import type { Enforced, Prompt, Session, Target } from '../../protocol.js';
import {
  admit,
  answerFields,
  Exchange,
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
  type SignedIn,
  refuseLeak,
  warningsOf,
} from '../../web/index.js';
import { addressed, readFields, readRequest, type Addressed, type Request } from './codec.js';
import type { HttpUpstream } from './config.js';
import { limitProblem, obligations } from './enforce.js';
import { passMasked } from './masked.js';
import { answerMasks, checkMasked, MaskRefusal, unconditional, type AnswerMasks } from './masking.js';
import { operationOf, servesGraphql } from './operation.js';
import { checkSignature, replacedBy } from './signing/authorizing.js';
import { HttpTarget } from './upstream.js';
import { withhold } from './withheld.js';

/** One request to a target and its answer: read, judged, asked there with the gateway's credential, and passed on. */

export type HttpTargets = TargetPool<HttpUpstream, HttpTarget>;

export const httpTargets = (): HttpTargets =>
  new TargetPool<HttpUpstream, HttpTarget>((upstream, renewed) => new HttpTarget(upstream, renewed));

export interface HttpParts extends ExchangeParts {
  readonly targets: HttpTargets;
}

/** What is asked, and who asks. */
export interface Asked {
  readonly address: Addressed;
  readonly presented: SignedIn;
  readonly target: Target;
  readonly upstream: HttpUpstream;
}

export class HttpExchange extends Exchange {
  protected readonly protocol = 'http';
  protected readonly supports = obligations;
  readonly #targets: HttpTargets;

  constructor(request: Exchange['request'], response: Exchange['response'], parts: HttpParts) {
    super(request, response, parts);
    this.#targets = parts.targets;
  }

  /** Throws RequestRefusal, or IdentityError. */
  protected async asked(seen: Fields): Promise<Asked> {
    const address = addressed(this.request.url ?? '');
    this.target = address.target;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const presented = await signIn(this.services, seen.all, this.request.socket, this.client);
    const target = this.find(address.target);
    const upstream = target.upstream as HttpUpstream;
    if (!upstream.reverse) {
      throw new RequestRefusal(404, 'egress_only', 'this target has no URL: it is reached through the egress proxy');
    }
    return { address, presented, target, upstream };
  }

  /** A place that the answer names, as the client reaches it. */
  protected placed(location: string, target: HttpTarget): string {
    return target.location(location, `/http/${this.target}`) ?? location;
  }

  /** What the request is asked for, where it does not say so itself. */
  protected prompt(fields: Fields): Prompt | undefined {
    return promptOf(fields.all);
  }

  protected async serve(): Promise<void> {
    const { request } = this;
    const seen = readFields(request.rawHeaders, false);
    const { address, presented, target, upstream } = await this.asked(seen);
    const { identity } = presented;
    const fields = fieldsFor(request.rawHeaders, upstream, presented);
    const body = await readBody(request, upstream.body_bytes_max);
    try {
      const read = readRequest(request.method ?? '', address, fields, body.bytes, upstream);
      refuseLeak(sentOf(read), presented.token);
      refuseCredentials(read, upstream);
      checkSignature(upstream.signing, fields, read.query);
      const held = this.session(identity, target, presented.token, seen.all.get('user-agent'));
      await this.during(held, () => this.#operate(held.session, read, { target, upstream }, this.prompt(seen)));
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
    return { ...passed, code, ...warningsOf(answer) };
  }

  #answer(answer: IncomingMessage, target: HttpTarget, decision: Decision, masks: AnswerMasks | undefined) {
    const field = (name: string, value: string) =>
      name === 'location' || name === 'content-location' ? this.placed(value, target) : value;
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

/** What goes on of a request, where the token might stand. */
function* sentOf({ path, query, fields, body }: Request): Generator<string | Buffer> {
  yield* path.segments;
  for (const { name, value = '' } of query.list) yield* [name, value];
  yield* fields.forwarded.values();
  yield body.bytes;
}
