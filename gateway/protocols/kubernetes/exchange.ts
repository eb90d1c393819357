import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';
import { ProtocolError } from '../../errors.js';
import type { Obligation, Recording, Result } from '../../protocol.js';
import {
  endSoon,
  Exchange,
  promptOf,
  readBody,
  readFields,
  sendProblem,
  signIn,
  type ExchangeParts,
  type Forwarded,
  type Problem,
  type TargetPool,
  type Upgrade,
  refuseLeak,
  warningsOf,
} from '../../web/index.js';
import { admitRequest, circumstancesOf, knownTo, type Asked, type Leaving } from './admitting.js';
import { passMasked, passText, readable, readableText } from './answer.js';
import { addressed, readRequest, type KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';
import { statusOf, withoutDelay } from './enforce.js';
import { MaskRefusal } from './masking.js';
import { operationOf } from './operation.js';
import { objectChanged, RefusedThere } from './preview/trial.js';
import type { Send } from './preview/trying.js';
import { accept } from './streams/accept.js';
import type { Allowed } from './streams/connection.js';
import { readHandshake, spdyRefusal, type Handshake } from './streams/handshake.js';
import { join, limited, type Joined } from './streams/joining.js';
import { aboutOf } from './streams/recorded.js';
import { Again, refusalOf, refusedByUpstream, type Refusals, type Refused } from './streams/refusals.js';
import type { KubernetesTarget } from './upstream.js';

const obligations: ReadonlySet<Obligation> = new Set(['mask', 'approval', 'preview', 'limit.bytes', 'limit.seconds']);
/** Of an object; the API server itself takes no more than 3 MiB. */
const body_bytes_max = 3_145_728;

export interface Parts extends ExchangeParts {
  readonly targets: TargetPool<KubernetesUpstream, KubernetesTarget>;
  readonly refusals: Refusals;
}

type WebSocketHandshake = Extract<Handshake, { kind: 'websocket' }>;

/** One request and its answer, or the stream that it becomes. */
export class KubernetesExchange extends Exchange {
  protected readonly protocol = 'kubernetes';
  protected readonly supports = obligations;
  readonly #parts: Parts;
  readonly #upgrade: Upgrade | undefined;
  #joined: Joined | undefined;
  /** What to keep a refusal of this handshake under. */
  #refusedAs: ((refused: Refused) => void) | undefined;

  /** @param upgrade Where it asks for another protocol; then the response is one that was made for its connection. */
  constructor(request: IncomingMessage, response: ServerResponse, parts: Parts, upgrade?: Upgrade) {
    super(request, response, parts);
    this.#parts = parts;
    this.#upgrade = upgrade;
    upgrade?.socket.once('close', () => this.leave()).on('error', () => undefined);
  }

  override stop(): void {
    super.stop();
    this.#upgrade?.socket.destroy();
  }

  /** As the API server would say it, whether or not it has become a stream. */
  protected override refuse(problem: Problem, text = statusOf(problem)): void {
    if (this.#joined !== undefined) return this.#joined.stop(problem, { status: 'cancelled', code: problem.code });
    sendProblem(this.response, withoutDelay(problem), { type: 'application/json', text });
  }

  protected override failed(error: unknown): void {
    if (error instanceof RefusedThere) return this.refuse(refusedByUpstream(error.status), error.text);
    if (error instanceof Again) return this.refuse(error.refused.problem, error.refused.text);
    const problem = this.problemOf(error);
    this.#refusedAs?.({ problem });
    this.refuse(problem);
  }

  protected async serve(): Promise<void> {
    const { request } = this;
    const { target: name, rest } = addressed(request.url ?? '');
    this.target = name;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const raw = request.rawHeaders.filter(notUpgrading(request.rawHeaders));
    const { all } = readFields(raw, true);
    const { token, identity } = await signIn(this.services, all, request.socket, this.client);
    const target = this.find(name);
    const body = await this.#body();
    try {
      const upgrading = this.#upgrade !== undefined;
      const read = readRequest(request.method ?? '', rest, upgrading ? raw : request.rawHeaders, body.bytes);
      refuseLeak([read.address.text, ...read.fields.values(), read.body.bytes], token);
      const handshake = upgrading ? this.#handshake(read, token) : undefined;
      const held = this.session(identity, target, token, all.get('user-agent'));
      const circumstances = circumstancesOf(promptOf(all));
      const upstream = target.upstream as KubernetesUpstream;
      await this.during(held, () =>
        this.#operate({ session: held.session, request: read, upstream, circumstances }, handshake),
      );
    } finally {
      body.release();
    }
  }

  /** What asks for another protocol has none. */
  async #body(): ReturnType<typeof readBody> {
    if (this.#upgrade === undefined) return readBody(this.request, body_bytes_max);
    return { bytes: Buffer.alloc(0), release: () => undefined };
  }

  /** Throws RequestRefusal. */
  #handshake(request: KubernetesRequest, token: string): Handshake {
    const handshake = readHandshake(this.request, request);
    const { refusals } = this.#parts;
    const asked = request.address.text;
    if (handshake.kind === 'websocket')
      this.#refusedAs = (refused) => refusals.keep(token, this.target, asked, refused);
    else {
      const before = refusals.take(token, this.target, asked);
      if (before !== undefined) throw new Again(before);
    }
    return handshake;
  }

  async #operate(asked: Asked, handshake: Handshake | undefined): Promise<void> {
    const { session, request, upstream, circumstances } = asked;
    if (handshake?.kind === 'spdy') {
      const { programs } = knownTo(session);
      const { outcome } = session.decide(operationOf(request, upstream, programs), circumstances);
      // The reason of a denial comes first.
      if (outcome !== 'deny') throw spdyRefusal(request);
    }
    const leaving = await this.#admit(asked, this.signal);
    const late = (seconds: number) => limited('seconds', seconds);
    await this.forward(leaving, late, () =>
      handshake?.kind === 'websocket' ? this.#stream(leaving, handshake) : this.#answer(leaving),
    );
  }

  #admit(asked: Asked, signal: AbortSignal): Promise<Leaving> {
    const { session, upstream } = asked;
    const target = this.#parts.targets.of(session.target, upstream);
    // What is tried out is read here: as JSON, and whole.
    const send: Send = (request) => target.send(request, readable(undefined), session.principal, signal);
    return admitRequest(asked, { signal, key: () => this.#maskKey(), send });
  }

  #maskKey(): string {
    const key = this.services.maskKey?.(this.target);
    if (key === undefined) throw new MaskRefusal('this gateway keeps no keys for masks');
    return key;
  }

  /** A request that has one answer. */
  async #answer({ request, upstream, session, masks, decision, pinned }: Leaving): Promise<Forwarded> {
    const bytes_max = decision.limits.bytes;
    const { fields, kinds } = masks;
    const changed = fields === undefined ? readableText(request, kinds) : readable(request.fields.get('accept'));
    const target = this.#parts.targets.of(session.target, upstream);
    const answer = await target.send(request, changed, session.principal, this.signal);
    if ((answer.statusCode ?? 0) < 200) {
      answer.destroy();
      throw new ProtocolError('the API server answered in another protocol');
    }
    if (pinned && answer.statusCode === 409) {
      answer.destroy();
      throw objectChanged();
    }
    const watch = request.info.isResource && request.info.verb === 'watch';
    const passed =
      fields === undefined
        ? await passText(answer, this.response, kinds, bytes_max)
        : await passMasked(answer, this.response, fields, { watch, bytes_max, kinds });
    if (passed.how === 'limit') this.refuse(limited('bytes', bytes_max ?? 0));
    return { ...passed, code: String(answer.statusCode), ...warningsOf(answer) };
  }

  /** A request that becomes a stream. What runs in a container is recorded, or does not run: that begins before anything is sent. */
  async #stream(leaving: Leaving, handshake: WebSocketHandshake): Promise<Result> {
    const { session, request, decision, masks } = leaving;
    if (handshake.form !== 'command') return this.#join(leaving, handshake, undefined);
    const recording = await this.services.recorder?.begin(session, aboutOf(request, decision, masks.kinds));
    if (recording === undefined) return this.#join(leaving, handshake, undefined);
    try {
      const result = await this.#join(leaving, handshake, recording);
      return { recording: await recording.close('failed'), ...result };
    } catch (error) {
      const kept = await recording.close('failed');
      if (this.signal.aborted) return { status: 'cancelled', recording: kept };
      if (!this.response.destroyed) this.failed(error);
      return { status: 'error', recording: kept };
    }
  }

  /** Joins it with the API server's, unless that answers. */
  async #join(
    leaving: Leaving,
    { form, protocols }: WebSocketHandshake,
    recording: Recording | undefined,
  ): Promise<Result> {
    const { request, address, session, masks, decision, opaque } = leaving;
    const target = this.#parts.targets.of(leaving.session.target, leaving.upstream);
    const dialled = await target.dial(request, address, protocols, session.principal, this.signal);
    if (dialled.answer !== undefined) {
      const { problem, text } = await refusalOf(dialled.answer, masks.kinds);
      this.#refusedAs?.({ problem, text });
      this.refuse(problem, text);
      return { status: 'error', code: String(problem.status), ...warningsOf(dialled.answer) };
    }
    const { socket: upstream, protocol } = dialled;
    let client: WebSocket;
    try {
      client = await accept(this.request, this.response, this.#upgrade!, protocol);
    } catch (error) {
      upstream.terminate();
      throw error;
    }
    const connect = (port: number, signal: AbortSignal) => this.#connect(leaving, port, signal);
    const refusal = (error: unknown) => this.problemOf(error).detail;
    const { kinds } = masks;
    this.#joined = join({
      ...{ client, upstream, protocol, form, request, decision, kinds, recording, opaque, connect, refusal },
    });
    upstream.resume();
    const result = await this.#joined.done;
    // Who breaks the protocol need not answer that it is over, either, and would stay for as long as others are waited for.
    if (result.code === 'protocol') endSoon(this.#upgrade!.socket);
    return result;
  }

  /** A connection to a port through a tunnel: an operation of its own. */
  async #connect(leaving: Leaving, port: number, signal: AbortSignal): Promise<Allowed> {
    const { session, circumstances, upstream } = leaving;
    const request = { ...leaving.request, ports: [port] };
    const { submission, decision } = await this.#admit({ session, circumstances, upstream, request }, signal);
    const { bytes, seconds } = decision.limits;
    return { bytes_max: bytes, seconds, settle: (result) => submission.settle(result) };
  }
}

/** SPDY's own field comes once for each version. */
const ofUpgrades: ReadonlySet<string> = new Set(['upgrade', 'connection', 'x-stream-protocol-version']);

/** Of Node's name, value, name, value: without what asks for another protocol, which is answered once it is known who asks. */
function notUpgrading(raw: readonly string[]): (value: string, index: number) => boolean {
  return (_, index) => {
    const name = raw[index - (index % 2)]!.toLowerCase();
    return !ofUpgrades.has(name);
  };
}
