import type { Duplex } from 'node:stream';

/** Bytes in both directions between two connections, as each takes them. */

export interface Relayed {
  /** From the upstream to the client, and from the client to the upstream. */
  readonly bytes: number;
  readonly sent_bytes: number;
  /** whole: both said all; cut: a side broke off; limit: policy's; idle: nobody said anything for too long. */
  readonly how: 'whole' | 'cut' | 'limit' | 'idle';
}

export interface RelayOptions {
  /** What the client said before, which goes first. */
  readonly first: Buffer;
  /** Of both directions together. */
  readonly bytes_max?: number | undefined;
  readonly idle_ms_max: number;
  readonly signal: AbortSignal;
}

/** Both are closed when it resolves; never rejects. Both have to be half-open at their end (`allowHalfOpen`). */
export function relay(
  client: Duplex,
  upstream: Duplex,
  { first, bytes_max = Infinity, idle_ms_max, signal }: RelayOptions,
): Promise<Relayed> {
  return new Promise((resolve) => {
    let bytes = 0;
    let sent_bytes = 0;
    let over = false;
    const finish = (how: Relayed['how']) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', cut);
      if (how !== 'whole') for (const side of [client, upstream]) side.destroy();
      resolve({ bytes, sent_bytes, how });
    };
    const cut = () => finish('cut');
    const timer = setTimeout(() => finish('idle'), idle_ms_max);
    const count = (up: boolean, chunk: Buffer): boolean => {
      if (over) return false;
      if (up) sent_bytes += chunk.length;
      else bytes += chunk.length;
      timer.refresh();
      if (bytes + sent_bytes <= bytes_max) return true;
      finish('limit');
      return false;
    };
    const flow = (from: Duplex, to: Duplex, up: boolean) => {
      from.on('data', (chunk: Buffer) => {
        if (count(up, chunk) && !to.write(chunk)) from.pause();
      });
      to.on('drain', () => from.resume());
      from.once('end', () => {
        to.end(() => {
          if (isOver(from) && isOver(to)) finish('whole');
        });
      });
      from.once('error', cut);
      from.once('close', () => {
        if (!isOver(from)) cut();
      });
    };
    signal.addEventListener('abort', cut, { once: true });
    flow(upstream, client, false);
    flow(client, upstream, true);
    if (signal.aborted || client.destroyed || upstream.destroyed) return cut();
    if (first.length > 0 && count(true, first)) upstream.write(first);
    client.resume();
    upstream.resume();
  });
}

/** Said all it had to say, and was told all. */
const isOver = ({ readableEnded, writableFinished }: Duplex) => readableEnded && writableFinished;
