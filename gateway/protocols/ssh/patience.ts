import type { Socket } from 'node:net';

/** Connections that have to become something else, or nothing, within a time: whoever only holds one keeps it from others. */
export class Patience {
  readonly #ms: number;
  readonly #timers = new Map<Socket, NodeJS.Timeout>();

  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Closed by then, whatever the other side does; unless it is called off. */
  begin(socket: Socket): void {
    if (socket.destroyed) return;
    const timer = setTimeout(() => socket.destroy(), this.#ms).unref();
    this.#timers.set(socket, timer);
    socket.once('close', () => this.callOff(socket));
  }

  callOff(socket: Socket): void {
    clearTimeout(this.#timers.get(socket));
    this.#timers.delete(socket);
  }

  /** Nobody is waited for any longer. */
  end(): void {
    for (const socket of this.#timers.keys()) socket.destroy();
  }
}
