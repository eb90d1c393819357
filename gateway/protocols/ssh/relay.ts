import type { ClientChannel, ServerChannel } from 'ssh2';
import { UpstreamError } from '../../errors.js';
import type { Result } from '../../protocol.js';

interface Exit {
  readonly code: number | null;
  readonly signal?: string;
  readonly dumped?: boolean;
  readonly said?: string;
}

/** How commands ended that the host ran for the gateway. */
const exits = new WeakMap<ClientChannel, Exit>();

/**
 * A channel of the host. Its exit is watched from the first moment: a host may say in one breath that it has begun a
 * command and how that ended.
 *
 * @throws UpstreamError where the host refuses.
 */
export function opened(
  open: (done: (error: Error | undefined, channel: ClientChannel) => void) => unknown,
): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    open((error, channel) => {
      if (error !== undefined && error !== null)
        return reject(new UpstreamError(`the host refused: ${error.message}`, { cause: error }));
      channel.on('exit', (code: number | null, signal?: string, dumped?: string | boolean, said?: string) => {
        const dump = dumped === true || dumped === 'true';
        exits.set(channel, { code, ...(signal === undefined ? {} : { signal, dumped: dump, said: said ?? '' }) });
      });
      resolve(channel);
    });
  });
}

/**
 * One channel of the client joined with one of the host: both directions, standard error apart, the end of input, the exit
 * code or signal, and the end. Bytes pass as the buffers they came in, with the back-pressure of both windows.
 */
export function relay(
  client: ServerChannel,
  upstream: ClientChannel,
  gone: AbortSignal,
  settle: (result: Result) => void,
): void {
  let bytes = 0;
  let over = false;
  const count = (chunk: Buffer) => {
    bytes += chunk.length;
  };
  upstream.on('data', count);
  upstream.stderr.on('data', count);
  client.pipe(upstream);
  upstream.pipe(client, { end: false });
  upstream.stderr.pipe(client.stderr, { end: false });

  const finish = (result: Result) => {
    if (over) return;
    over = true;
    settle(result);
  };
  upstream.once('close', () => {
    const exit = exits.get(upstream);
    finish(resultOf(exit, bytes));
    // Everything that came is written before the end is told.
    client.stderr.end(() => {
      if (exit?.signal !== undefined) client.exit(exit.signal.replace(/^SIG/u, ''), exit.dumped, exit.said);
      else if (exit?.code !== null && exit?.code !== undefined) client.exit(exit.code);
      client.end();
    });
  });
  const leave = () => {
    if (over) return;
    finish({ status: 'cancelled', bytes });
    // Without a terminal a host lets a command run on when its client is gone: it is told to end.
    upstream.signal('HUP');
    upstream.signal('TERM');
    upstream.close();
  };
  gone.addEventListener('abort', leave, { once: true });
  if (gone.aborted) leave();
  const fail = () => {
    finish({ status: 'lost', bytes });
    upstream.destroy();
    client.destroy();
  };
  client.on('error', fail);
  upstream.on('error', fail);
}

function resultOf(exit: Exit | undefined, bytes: number): Result {
  if (exit === undefined) return { status: 'lost', bytes };
  const code = exit.signal ?? String(exit.code ?? '');
  return { status: exit.code === 0 ? 'ok' : 'error', code, bytes };
}
