import { connect, type Socket } from 'node:net';
import type { Decision } from '#engine';
import { IdentityError, UpstreamError } from '../../../errors.js';
import type { Client, Obligation, Result } from '../../../protocol.js';
import {
  admit,
  endSoon,
  Exchange,
  promptOf,
  readFields,
  RequestRefusal,
  signIn,
  type ExchangeParts,
  type Problem,
  type SignedIn,
} from '../../../web/index.js';
import { limitProblem } from '../enforce.js';
import { withhold } from '../withheld.js';
import { checkedLookup } from './addresses.js';
import { alertOf, hello_bytes_max, HelloRefusal, serverNameOf } from './hello.js';
import { isAddress, readAuthority, writePlace, type Place } from './hosts.js';
import type { Insider } from './intercepted.js';
import type { Interception } from './interception.js';
import { tunnelOf } from './operation.js';
import { relay, type Relayed } from './relay.js';
import { routeTo, type Route } from './routes.js';

/**
 * One CONNECT: who asks, for which place, whether they may; then bytes, which nobody looks into behind the first message, or where the
 * configuration says so, requests.
 */

export interface TunnellingParts extends ExchangeParts {
  readonly client: Client;
  /** What came behind the request already. */
  readonly head: Buffer;
  /** Absent: the listener has no authority. */
  readonly interception: Interception | undefined;
}

/** What policy may ask of a tunnel beside a yes or a no: nothing that means to look into it. */
const obligations: ReadonlySet<Obligation> = new Set(['approval', 'limit.bytes', 'limit.seconds']);
/** Of one that is looked into: bytes are those of its requests. */
const obligationsInside: ReadonlySet<Obligation> = new Set(['approval', 'limit.seconds']);

const connect_ms_max = 20_000;
/** For the first message to arrive whole. */
const hello_ms_max = 15_000;
const idle_ms_max = 3_600_000;

export class Tunnelling extends Exchange {
  protected readonly protocol = 'http';
  readonly #interception: Interception | undefined;
  #isInside = false;
  readonly #socket: Socket;
  readonly #client: Client;
  readonly #head: Buffer;
  /** Whether the client was told that the tunnel stands: nothing can be said by HTTP any more. */
  #established = false;

  constructor(request: Exchange['request'], response: Exchange['response'], parts: TunnellingParts) {
    super(request, response, parts);
    this.#socket = request.socket;
    this.#client = parts.client;
    this.#head = parts.head;
    this.#interception = parts.interception;
    this.#socket.once('close', () => this.leave());
  }

  protected override get client(): Client {
    return this.#client;
  }

  protected get supports(): ReadonlySet<Obligation> {
    return this.#isInside ? obligationsInside : obligations;
  }

  override stop(): void {
    this.#socket.destroy();
  }

  protected override refuse(problem: Problem): void {
    if (this.#established) this.#socket.destroy();
    else super.refuse(problem);
  }

  /** A proxy asks for its own credentials by words of its own (RFC 9110, 11.7). */
  protected override problemOf(error: unknown): Problem {
    const problem = super.problemOf(error);
    if (!(error instanceof IdentityError)) return problem;
    const bearer = problem.fields?.['www-authenticate'] ?? 'Bearer realm="sallyport"';
    return { ...problem, status: 407, fields: { 'proxy-authenticate': `Basic realm="sallyport", ${bearer}` } };
  }

  protected async serve(): Promise<void> {
    if (!this.#client.confidential) {
      throw new RequestRefusal(403, 'in_clear', 'your token would travel in clear: connect to the proxy by TLS');
    }
    const fields = readFields(this.request.rawHeaders, true).all;
    const presented = await this.#signIn(fields);
    const { identity } = presented;
    const place = placeOf(this.request, fields, this.#head);
    const route = routeTo(place, this.services);
    if (route === undefined) {
      this.services.log.warn(
        { subject: identity.principal.subject, host: writePlace(place), client: this.#client.address },
        'egress: a host that no target names',
      );
      throw new RequestRefusal(403, 'unknown_host', `no target names ${writePlace(place)} for egress`);
    }
    this.target = route.target.input.name;
    this.#isInside = route.egress.intercept;
    await this.#operate(presented, route, place, fields);
  }

  /** By the proxy's own field alone: Authorization is for whoever is asked in the end. */
  async #signIn(fields: ReadonlyMap<string, string>): Promise<SignedIn> {
    const own = new Map([...fields].filter(([name]) => name === 'proxy-authorization'));
    try {
      return await signIn(this.services, own, this.#socket, this.#client);
    } catch (error) {
      if (!(error instanceof IdentityError) || error.reason !== 'no_token') throw error;
      throw new IdentityError('no_token', 'nobody is signed in: give the proxy your token as the password of its URL');
    }
  }

  async #operate(
    presented: SignedIn,
    { target, egress }: Route,
    place: Place,
    fields: ReadonlyMap<string, string>,
  ): Promise<void> {
    const { identity, token } = presented;
    const held = this.session(identity, this.find(target.input.name), token, fields.get('user-agent'));
    const prompt = promptOf(fields);
    const circumstances = { ...(prompt === undefined ? {} : { prompt }), withhold };
    const tunnel = tunnelOf(place, egress.intercept);
    await this.during(held, async () => {
      const admitted = await admit(held.session, tunnel, circumstances, () => ({}), this.signal);
      const { decision } = admitted;
      const late = () => limitProblem(decision, this.target, 'seconds');
      const insider = { presented, client: this.#client, place, target, prompt, decision: decision.id };
      await this.forward(admitted, late, () =>
        egress.intercept ? this.#inside(insider) : this.#tunnel(place, egress.networks, decision),
      );
    });
  }

  /** Up to the proxy itself, which asks the target for each request by itself. */
  async #inside(insider: Insider): Promise<Result> {
    if (this.#interception === undefined) {
      throw new RequestRefusal(
        503,
        'target_unavailable',
        'the configuration has no listen.egress.authority to look into tunnels with',
      );
    }
    await this.#interception.prepare(insider.place.host);
    this.#establish(insider.decision);
    const hello = await this.#greeted(insider.place);
    if (!Buffer.isBuffer(hello)) return hello;
    this.#socket.unshift(hello);
    return this.#interception.serve(this.#socket, insider, this.signal);
  }

  /** To the place, once the client has said that it means the same. */
  async #tunnel(place: Place, networks: Route['egress']['networks'], { limits, id }: Decision): Promise<Result> {
    const upstream = await this.#reach(place, checkedLookup(networks));
    try {
      this.#establish(id);
      const first = await this.#greeted(place);
      if (!Buffer.isBuffer(first)) return first;
      const relayed = await relay(this.#socket, upstream, {
        first,
        bytes_max: limits.bytes,
        idle_ms_max,
        signal: this.signal,
      });
      return resultOf(relayed, this.signal.aborted);
    } finally {
      upstream.destroy();
    }
  }

  /** What the client sent first, or what became of the tunnel where that names another place. */
  async #greeted(place: Place): Promise<Buffer | Result> {
    try {
      return await this.#hello(place);
    } catch (error) {
      if (!(error instanceof HelloRefusal)) throw error;
      this.services.log.warn({ host: writePlace(place), reason: error.reason }, 'egress: a tunnel was refused');
      endSoon(this.#socket, alertOf(error.reason));
      return { status: 'error', bytes: 0, sent_bytes: 0, code: error.reason };
    }
  }

  /** Resolves when the connection stands; nothing was sent by then. Throws UpstreamError, or RequestRefusal for where it leads. */
  #reach({ host, port }: Place, lookup: ReturnType<typeof checkedLookup>): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, lookup, allowHalfOpen: true, autoSelectFamily: true, keepAlive: true });
      const fail = (error: Error) => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', leave);
        socket.destroy();
        const { code } = error as NodeJS.ErrnoException;
        const said = `${host}:${String(port)} could not be reached (${code ?? 'error'})`;
        reject(error instanceof RequestRefusal ? error : new UpstreamError(said, { cause: error }));
      };
      const leave = () => fail(new Error('the client went away'));
      const timer = setTimeout(() => fail(new Error('no answer in time')), connect_ms_max);
      this.signal.addEventListener('abort', leave, { once: true });
      socket.on('error', fail);
      socket.once('connect', () => {
        clearTimeout(timer);
        this.signal.removeEventListener('abort', leave);
        resolve(socket);
      });
      if (this.signal.aborted) leave();
    });
  }

  #establish(decision: string): void {
    this.#established = true;
    this.response.detachSocket(this.#socket);
    this.#socket.write(`HTTP/1.1 200 Connection established\r\nX-Sallyport-Decision: ${decision}\r\n\r\n`);
  }

  /** What the client sent first, which names the place. Throws HelloRefusal. */
  #hello(place: Place): Promise<Buffer> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      let bytes = Buffer.alloc(0);
      const finish = (end: () => void) => {
        clearTimeout(timer);
        socket.off('data', more);
        socket.off('end', short);
        socket.off('close', short);
        socket.pause();
        end();
      };
      const short = () => finish(() => reject(new HelloRefusal('not_tls')));
      const timer = setTimeout(short, hello_ms_max);
      const more = (chunk: Buffer) => {
        bytes = Buffer.concat([bytes, chunk]);
        try {
          const name = serverNameOf(bytes);
          if (name !== undefined) {
            checkName(name, place);
            finish(() => resolve(bytes));
          } else if (bytes.length > 2 * hello_bytes_max) short();
        } catch (error) {
          finish(() => reject(error instanceof Error ? error : new Error(String(error))));
        }
      };
      socket.on('data', more);
      socket.once('end', short);
      socket.once('close', short);
      socket.resume();
    });
  }
}

/** Throws RequestRefusal for what is no CONNECT to one place. */
function placeOf({ url = '' }: Exchange['request'], fields: ReadonlyMap<string, string>, head: Buffer): Place {
  const place = readAuthority(url);
  if (place === undefined) {
    throw new RequestRefusal(
      400,
      'authority',
      'CONNECT takes HOST:PORT: a name without a dot at its end, or an address in its one form',
    );
  }
  const host = fields.get('host')?.toLowerCase();
  const [written] = /^(?:\[[^\]]*\]|[^:]*)/.exec(url.toLowerCase()) ?? [];
  if (host !== undefined && host !== url.toLowerCase() && host !== written) {
    throw new RequestRefusal(400, 'host_mismatch', 'the field Host names another place than CONNECT');
  }
  if (head.length > 0 || fields.has('transfer-encoding') || (fields.get('content-length') ?? '0') !== '0') {
    throw new RequestRefusal(400, 'early_bytes', 'CONNECT has no body, and nothing may come before its answer');
  }
  return place;
}

/** An address is in no such field (RFC 6066, 3): whoever asked for one must not name anything else. */
function checkName(name: string | null, { host }: Place): void {
  if (name === null && isAddress(host)) return;
  if (name === null) throw new HelloRefusal('no_sni');
  if (name.toLowerCase() !== host) throw new HelloRefusal('sni_mismatch');
}

function resultOf({ how, bytes, sent_bytes }: Relayed, aborted: boolean): Result {
  const counts = { bytes, sent_bytes };
  switch (how) {
    case 'whole':
      return { status: 'ok', ...counts };
    case 'limit':
      return { status: 'error', ...counts, code: 'limit_exceeded' };
    case 'idle':
      return { status: 'lost', ...counts, code: 'idle' };
    case 'cut':
      // One side breaks off more often than not: TLS has its own word for the end, and the connection's is of no account.
      return { status: aborted ? 'cancelled' : 'lost', ...counts };
  }
}
