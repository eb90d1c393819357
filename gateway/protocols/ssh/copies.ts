import { Transform, type Readable, type TransformCallback } from 'node:stream';
import { noKinds, TerminalStream, type Kinds } from '../../content/index.js';
import type { Copied, Copy, CopyAbout, Operation, Recorder, Session } from '../../protocol.js';
import { withhold } from './masking.js';
import type { Permitted } from './permit.js';
import type { SshOperation } from './schema.js';

/** What an operation transfers, kept where policy asks for it. */

/** Rejects with AuditError where it has to be kept and cannot be. */
export async function beginCopy(
  recorder: Recorder | undefined,
  session: Session,
  operation: Operation,
  { decision, keep }: Permitted,
): Promise<TransferCopy | undefined> {
  if (keep === undefined || recorder === undefined) return undefined;
  const copy = await recorder.copy(session, aboutCopy(operation, decision, keep.kinds));
  return copy === undefined ? undefined : new TransferCopy(copy, keep.kinds);
}

function aboutCopy(operation: Operation, decision: string, kinds: Kinds): CopyAbout {
  const masked = kinds !== noKinds;
  const { request, command, sftp } = operation['ssh'] as SshOperation;
  const names = {
    ...(command === undefined ? {} : { command }),
    ...(sftp === undefined ? {} : { path: sftp.path }),
  };
  const { withheld: _, ...told } = masked ? withhold(names) : { ...names, withheld: false };
  return { decision, request, masked, ...told };
}

/** A copy as SSH fills it: what goes to the host with stars where policy masks, what comes as the client gets it. */
export class TransferCopy {
  readonly #copy: Copy;
  readonly #masking: TerminalStream | undefined;
  #onClose: () => void = () => undefined;

  constructor(copy: Copy, kinds: Kinds) {
    this.#copy = copy;
    if (kinds !== noKinds) this.#masking = new TerminalStream({ kinds, numbers: false, terminal: false });
  }

  /** Before they go on; as `Copy.piece`. */
  read(bytes: Buffer, offset?: number): Promise<boolean> | boolean {
    return this.#copy.piece('read', bytes, offset);
  }

  /** The same. What is masked has another length, and no offset of its own: it stands behind what came before. */
  written(bytes: Buffer, offset?: number): Promise<boolean> | boolean {
    return this.#masking === undefined
      ? this.#copy.piece('written', bytes, offset)
      : this.#copy.piece('written', this.#masking.push(bytes));
  }

  onLost(listener: () => void): void {
    this.#copy.onLost(listener);
  }

  onClose(listener: () => void): void {
    this.#onClose = listener;
  }

  async close(how: string): Promise<{ readonly copy?: Copied }> {
    if (this.#masking !== undefined) await this.#copy.piece('written', this.#masking.finish());
    const copied = await this.#copy.close(how);
    this.#onClose();
    return copied === undefined ? {} : { copy: copied };
  }
}

/** Through what a stream passes at the pace at which it can be kept; what cannot be does not go on. */
export function copied(copy: TransferCopy | undefined, way: 'read' | 'written', stream: Readable): Readable {
  if (copy === undefined) return stream;
  const transform = (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback) => {
    const pass = (kept: boolean) => (kept ? done(null, chunk) : done());
    const kept = copy[way](chunk);
    if (typeof kept === 'boolean') pass(kept);
    else void kept.then(pass);
  };
  return stream.pipe(new Transform({ transform }));
}
