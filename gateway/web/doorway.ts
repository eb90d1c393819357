import type { Principal } from '#engine';
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Bounds, ListenAddress } from '../protocol.js';

/**
 * Who stands at a listener's door: connections on which nobody has signed in yet have a room of their own, in which they may stay for
 * a while only. Whoever fills it with what comes slowly, or never, makes room for the next with what is the oldest of his own, and
 * takes none from those who are in; of them, nobody has more than half for himself.
 */
interface Visit {
  readonly address: string;
  readonly since_ms: number;
  /** The one that was accepted, and behind TLS the one that is spoken on. */
  readonly sockets: Socket[];
  /** Who has signed in: subjects of two issuers are two. */
  principal: string | undefined;
  /** What has left for it, as far as that is known, while something waits to; and since when it is no more. */
  left: string;
  left_ms: number;
}

/** Where the configuration says nothing else. */
const usual: Bounds = {
  ...{ connections_max: 2_000, strangers_max: 500 },
  ...{ greeting_ms_max: 30_000, request_ms_max: 600_000, stalled_ms_max: 600_000 },
};

export const boundsOf = ({ bounds }: ListenAddress, own?: Partial<Bounds>): Bounds => ({ ...usual, ...own, ...bounds });

const visits = new WeakMap<Socket, { readonly visit: Visit; readonly doorway: Doorway }>();

/** Why there is no room for one who signs in, in words for him; undefined: he is in. A connection of no doorway has room. */
export function letIn(socket: Socket, who: Pick<Principal, 'issuer' | 'subject'>): string | undefined {
  const known = visits.get(socket);
  return known?.doorway.letIn(known.visit, who);
}

/** A connection goes on behind TLS, or behind more of it. */
export function securedBy(socket: Socket, secure: Socket): void {
  const known = visits.get(socket);
  known?.doorway.join(known.visit, secure);
}

export class Doorway {
  readonly #bounds: Bounds;
  readonly #all = new Set<Visit>();
  /** By address and port of the other side: a server of TLS tells no more of what it is spoken on. */
  readonly #byPlace = new Map<string, Visit>();
  /** Of each address, in the order in which they came. */
  readonly #strangers = new Map<string, Set<Visit>>();
  #strangers_count = 0;
  /** They have not said yet what they want. */
  readonly #awaited = new Set<Visit>();
  readonly #byPrincipal = new Map<string, number>();
  #known_count = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
    const every_ms = Math.max(10, Math.min(bounds.greeting_ms_max, bounds.stalled_ms_max) / 4);
    this.#timer = setInterval(() => this.#sweep(), every_ms).unref();
  }

  /** What a server accepts of connections at all: those that gave way are closed a little later. */
  get connections_max(): number {
    return this.#bounds.connections_max + 2 * this.#bounds.strangers_max;
  }

  /** A connection was accepted. */
  enter(socket: Socket): void {
    const place = placeOf(socket);
    if (this.#strangers_count >= this.#bounds.strangers_max) this.#makeRoom();
    const since_ms = Date.now();
    const visit: Visit = {
      ...{ address: socket.remoteAddress ?? '', since_ms, sockets: [socket] },
      ...{ principal: undefined, left: '', left_ms: since_ms },
    };
    this.#byPlace.set(place, visit);
    this.#all.add(visit);
    this.#awaited.add(visit);
    this.#add(visit);
    visits.set(socket, { visit, doorway: this });
    socket.once('close', () => {
      if (this.#byPlace.get(place) === visit) this.#byPlace.delete(place);
      this.#all.delete(visit);
      this.#awaited.delete(visit);
      this.#leave(visit);
    });
  }

  /** The same connection, behind TLS, as a server of that tells it. */
  secured(socket: Socket): void {
    const visit = this.#byPlace.get(placeOf(socket));
    if (visit !== undefined) this.join(visit, socket);
  }

  join(visit: Visit, socket: Socket): void {
    visit.sockets.push(socket);
    visits.set(socket, { visit, doorway: this });
  }

  /** It has said what it wants, and is not waited for any longer. */
  greeted(socket: Socket): void {
    const known = visits.get(socket);
    if (known !== undefined) this.#awaited.delete(known.visit);
  }

  letIn(visit: Visit, { issuer, subject }: Pick<Principal, 'issuer' | 'subject'>): string | undefined {
    if (visit.principal !== undefined) return undefined;
    if (visit.sockets.some(({ destroyed }) => destroyed)) return 'the connection is closed';
    const { connections_max } = this.#bounds;
    const principal = JSON.stringify([issuer, subject]);
    const own = this.#byPrincipal.get(principal) ?? 0;
    if (this.#known_count >= connections_max) return 'too many connections are open here; try again in a moment';
    if (own >= Math.ceil(connections_max / 2)) return 'too many connections of yours are open here; close some of them';
    this.#remove(visit);
    visit.principal = principal;
    this.#known_count += 1;
    this.#byPrincipal.set(principal, own + 1);
    return undefined;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #add(visit: Visit): void {
    const others = this.#strangers.get(visit.address);
    if (others === undefined) this.#strangers.set(visit.address, new Set([visit]));
    else others.add(visit);
    this.#strangers_count += 1;
  }

  #remove(visit: Visit): void {
    const others = this.#strangers.get(visit.address);
    if (others?.delete(visit) !== true) return;
    if (others.size === 0) this.#strangers.delete(visit.address);
    this.#strangers_count -= 1;
  }

  #leave(visit: Visit): void {
    const { principal } = visit;
    if (principal === undefined) return this.#remove(visit);
    const left = (this.#byPrincipal.get(principal) ?? 1) - 1;
    if (left === 0) this.#byPrincipal.delete(principal);
    else this.#byPrincipal.set(principal, left);
    this.#known_count -= 1;
  }

  /** Whoever holds most gives way, with what came first. */
  #makeRoom(): void {
    let most: Set<Visit> | undefined;
    for (const each of this.#strangers.values()) if (most === undefined || each.size > most.size) most = each;
    const [oldest] = most ?? [];
    if (oldest !== undefined) this.#end(oldest);
  }

  #end(visit: Visit): void {
    this.#remove(visit);
    for (const socket of visit.sockets) socket.destroy();
  }

  #sweep(): void {
    const now_ms = Date.now();
    for (const visit of this.#awaited) {
      // They came one after the other.
      if (now_ms - visit.since_ms < this.#bounds.greeting_ms_max) break;
      this.#end(visit);
    }
    for (const visit of this.#all) if (this.#takesNothing(visit, now_ms)) this.#end(visit);
  }

  /** What it sends meanwhile is of no account. */
  #takesNothing(visit: Visit, now_ms: number): boolean {
    const socket = visit.sockets.at(-1);
    const waits_bytes = socket?.writableLength ?? 0;
    const left = waits_bytes === 0 ? '' : leftOf(socket as Socket & Handled, waits_bytes);
    if (left === '' || left !== visit.left) {
      visit.left = left;
      visit.left_ms = now_ms;
      return false;
    }
    const { greeting_ms_max, stalled_ms_max } = this.#bounds;
    return now_ms - visit.left_ms >= (visit.principal === undefined ? greeting_ms_max : stalled_ms_max);
  }
}

/** How Node itself finds out whether a write that is large goes on. */
interface Handled {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

const leftOf = ({ bytesWritten, _handle }: Socket & Handled, waits_bytes: number) =>
  `${String(bytesWritten - waits_bytes)} ${String(_handle?.writeQueueSize)}`;

/** Nobody else has the same at one listener at one time. */
const placeOf = ({ remoteAddress, remotePort }: Socket) => `${remoteAddress ?? ''} ${String(remotePort)}`;

/**
 * The doorway of a server that speaks HTTP, in TLS or not.
 *
 * @param other How it is asked for another protocol as well. It has to listen to that: Node answers by itself where nobody does.
 */
export function doorwayOf(server: Server, bounds: Bounds, other: 'upgrade' | 'connect'): Doorway {
  const doorway = new Doorway(bounds);
  server.maxConnections = doorway.connections_max;
  // Before anything is done with it.
  server.prependListener('connection', (socket: Socket) => doorway.enter(socket));
  server.on('secureConnection', (socket: Socket) => doorway.secured(socket));
  for (const asked of ['request', other])
    server.prependListener(asked, ({ socket }: IncomingMessage) => doorway.greeted(socket));
  return doorway;
}
