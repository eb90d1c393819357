import type { Duplex, Readable, Writable } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { noKinds } from '../../content/index.js';
import { UpstreamError } from '../../errors.js';
import type { Operation, Recording, Result } from '../../protocol.js';
import { copied, type TransferCopy } from './copies.js';
import { exitDenied, exitFailed, line } from './enforce.js';
import { Allowance } from './limits.js';
import { MaskedOutput } from './output.js';
import type { Permitted } from './permit.js';
import { recorded, recordInput } from './recorded.js';
import type { SshOperation } from './schema.js';

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

/** Where a command's client is: a channel of its own, or the one of a shell for as long as the command runs. */
export interface ClientSide extends Duplex {
  readonly stderr: Writable;
  exit(code: number): unknown;
  exit(signal: string, dumped?: boolean, said?: string): unknown;
}

export interface RelayParts {
  readonly client: ClientSide;
  readonly upstream: ClientChannel;
  /** Aborts when the client, or its channel, is gone. */
  readonly gone: AbortSignal;
  readonly permit: Permitted;
  readonly operation: Operation;
  readonly recording: Recording | undefined;
  readonly copy: TransferCopy | undefined;
}

/**
 * One channel of the client joined with one of the host: both directions, standard error apart, the end of input, the exit
 * code or signal, and the end. Bytes pass as the buffers they came in, or masked, with the back-pressure of both windows.
 */
export function relay({ client, upstream, gone, permit, operation, recording, copy }: RelayParts): void {
  const terminal = (operation['ssh'] as SshOperation).terminal === true;
  let bytes = 0;
  let over = false;
  const count = (chunk: Buffer) => {
    bytes += chunk.length;
  };
  upstream.on('data', count);
  upstream.stderr.on('data', count);
  let sent = 0;
  client.on('data', (chunk: Buffer) => {
    sent += chunk.length;
  });
  recordInput(recording, client, operation, permit);
  const finish = (result: Result) => {
    if (over) return;
    over = true;
    allowance.close();
    const whole = { ...result, sent_bytes: sent };
    if (recording === undefined && copy === undefined) return permit.settle(whole);
    void closed(exitOf(result)).then((kept) => permit.settle({ ...whole, ...kept }));
  };
  const closed = async (how: string): Promise<Pick<Result, 'recording' | 'copy'>> => {
    const copying = copy?.close(how);
    const kept = await recording?.close(how);
    return { ...(kept === undefined ? {} : { recording: kept }), ...(await copying) };
  };
  const stop = (code: string, said: string, exit: number) => {
    if (over) return;
    recording?.note(said);
    finish({ status: 'cancelled', code, bytes });
    hangUp(upstream);
    client.stderr.end(said, () => {
      client.exit(exit);
      client.end();
    });
  };
  const allowance = new Allowance(permit.limits, (what) => stop('limit_exceeded', permit.stopped(what), exitDenied));
  const within = (stream: Readable): Readable =>
    permit.limits.bytes === undefined ? stream : stream.pipe(allowance.stream());
  const masked = (stream: Readable): Readable =>
    permit.kinds === noKinds ? stream : stream.pipe(new MaskedOutput(permit.kinds, terminal));
  const output = copied(copy, 'read', recorded(recording, 'stdout', masked(within(upstream))));
  const errors = recorded(recording, 'stderr', masked(within(upstream.stderr)));
  copied(copy, 'written', client).pipe(upstream);
  output.pipe(client, { end: false });
  errors.pipe(client.stderr, { end: false });

  upstream.once('close', () => {
    const exit = exits.get(upstream);
    if (over) return;
    // Everything that came is written before the end is told; what goes beyond a limit is found on the way.
    void Promise.all([ended(output), ended(errors)]).then(() => {
      // Its last bytes were too many: that is told, and not how it ended.
      if (over || allowance.exceeded) return;
      finish(resultOf(exit, bytes));
      client.stderr.end(() => {
        tellExit(client, exit);
        client.end();
      });
    });
  });
  const lost = () => stop('recording_failed', line('stopped: it can no longer be recorded'), exitFailed);
  recording?.onLost(lost);
  copy?.onLost(lost);
  const leave = () => {
    if (over) return;
    finish({ status: 'cancelled', bytes });
    hangUp(upstream);
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

/** The names that the protocol has for signals (RFC 4254, section 6.10); the library throws at any other. */
const signals: ReadonlySet<string> = new Set(
  ['ABRT', 'ALRM', 'FPE', 'HUP', 'ILL', 'INT', 'KILL', 'PIPE', 'QUIT', 'SEGV', 'TERM', 'USR1', 'USR2'], // prettier-ignore
);

/** Of a signal without a name (a bus error, say, which OpenSSH's server calls "SIG@openssh.com") clients get the exit code that they make of any. */
function tellExit(client: ClientSide, exit: Exit | undefined): void {
  if (exit?.signal !== undefined) {
    const name = exit.signal.replace(/^SIG/u, '');
    if (signals.has(name)) client.exit(name, exit.dumped, exit.said);
    else client.exit(exitFailed);
  } else if (exit?.code !== null && exit?.code !== undefined) client.exit(exit.code);
}

/** Without a terminal a host lets a command run on when its client is gone: it is told to end. */
function hangUp(upstream: ClientChannel): void {
  signal(upstream, 'HUP');
  signal(upstream, 'TERM');
  upstream.close();
}

/** What of the library is not in its types. */
interface Insides {
  readonly outgoing: { readonly id: number; readonly state: string };
  readonly _client: { readonly _protocol: { signal(channel: number, name: string): void } };
}

/**
 * Sends a signal to what runs on the host. The library's own method does nothing once the command's input has ended, which
 * it has for most (`ssh -n`); RFC 4254 (section 5.3) lets requests follow the end of data.
 */
export function signal(upstream: ClientChannel, name: string): boolean {
  const { outgoing, _client: client } = upstream as unknown as Insides;
  if (outgoing.state !== 'open' && outgoing.state !== 'eof') return false;
  if (!signals.has(name.replace(/^SIG/u, ''))) return false;
  client._protocol.signal(outgoing.id, name);
  return true;
}

const ended = (stream: Readable): Promise<void> =>
  new Promise((resolve) => {
    if (stream.readableEnded || stream.destroyed) resolve();
    else stream.once('end', resolve).once('close', resolve);
  });

/** As players show it: the exit code or signal, or why there is none. */
const exitOf = ({ status, code }: Result): string => (code === undefined || code === '' ? status : code);

function resultOf(exit: Exit | undefined, bytes: number): Result {
  if (exit === undefined) return { status: 'lost', bytes };
  const code = exit.signal ?? String(exit.code ?? '');
  return { status: exit.code === 0 ? 'ok' : 'error', code, bytes };
}
