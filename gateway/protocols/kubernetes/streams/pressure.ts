import type { WebSocket } from 'ws';

const waiting_bytes_high = 1_048_576;
const waiting_bytes_low = 262_144;

/** Sends it on; where the other side does not take it as fast as it comes, nothing more is read for a while. */
export function pass(message: Buffer, binary: boolean, from: WebSocket, to: WebSocket): void {
  if (to.readyState !== to.OPEN) return;
  to.send(message, { binary }, () => {
    if (from.isPaused && to.bufferedAmount <= waiting_bytes_low) from.resume();
  });
  if (to.bufferedAmount > waiting_bytes_high) from.pause();
}

/** Reads on, unless the other side is behind: then what it takes lets it go on. */
export function resumeWhereTaken(from: WebSocket, to: WebSocket): void {
  if (to.bufferedAmount <= waiting_bytes_high) from.resume();
}
