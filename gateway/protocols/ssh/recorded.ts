import { Transform, type Readable, type TransformCallback } from 'node:stream';
import { noKinds, TerminalStream } from '../../content/index.js';
import type { Operation, Recording, RecordingAbout } from '../../protocol.js';
import { withhold } from './masking.js';
import type { Permitted } from './permit.js';
import type { SshOperation } from './schema.js';

/** What of an operation is recorded: what the client gets to see, and input that nobody judged. */

export interface TerminalSize {
  readonly cols: number;
  readonly rows: number;
  readonly term?: string;
}

/** @param size Undefined: there is no terminal. */
export function aboutOf(
  operation: Operation,
  { decision, kinds }: Permitted,
  size: TerminalSize | undefined,
): RecordingAbout {
  const masked = kinds !== noKinds;
  const own = operation['ssh'] as SshOperation;
  const { command } = (masked ? withhold({ command: own.command }) : own) as Pick<SshOperation, 'command'>;
  return {
    decision,
    request: own.request,
    ...(command === undefined ? {} : { command }),
    ...(size === undefined ? {} : { terminal: terminalOf(size) }),
    masked,
  };
}

const terminalOf = ({ cols, rows, term }: TerminalSize) => ({
  columns: cols,
  rows,
  ...(term === undefined ? {} : { type: term }),
});

/** Through what output passes on its way to the client, at the pace at which it can be recorded; what cannot be is not shown. */
export function recorded(recording: Recording | undefined, name: 'stdout' | 'stderr', stream: Readable): Readable {
  if (recording === undefined) return stream;
  const transform = (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) => {
    const pass = (kept: boolean) => (kept ? done(null, chunk) : done());
    const kept = recording.output(name, chunk);
    if (typeof kept === 'boolean') pass(kept);
    else void kept.then(pass);
  };
  return stream.pipe(new Transform({ transform }));
}

/**
 * Input is recorded where it decides what happens and nothing shows it: without a terminal, of what is opaque. In a terminal
 * what is typed is recorded as far as it is echoed; so a password never is. Masked as output is.
 */
export function recordInput(
  recording: Recording | undefined,
  client: Readable,
  { opaque, ssh }: Operation,
  { kinds }: Permitted,
): void {
  if (recording === undefined || !opaque || (ssh as SshOperation).terminal === true) return;
  const masking = kinds === noKinds ? undefined : new TerminalStream({ kinds, numbers: false, terminal: false });
  client.on('data', (chunk: Buffer) => recording.input(masking === undefined ? chunk : masking.push(chunk)));
  client.once('end', () => {
    if (masking !== undefined) recording.input(masking.finish());
  });
}
