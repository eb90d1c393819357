import type { AuditError } from '../../errors.js';
import { openAudit, type AuditOptions } from '../log.js';
import { afterTheFact, type Audit, type Entry } from '../record.js';
import { Forwarder, type ForwarderOptions, type Gap } from './forwarder.js';

/** A sink besides the files. */
export type SinkOptions = Omit<ForwarderOptions, 'file' | 'onGap'>;

export interface ForwardedAudit extends Audit {
  /** Of each sink: how far it is behind, how many records were left out since the start, and why it fails. */
  readonly sinks: readonly Forwarder['status'][];
}

/**
 * The log, with sinks that follow it. Records are in the files first: those are the chain, and the queue of every sink. What a
 * sink that fails closed is too far behind for is refused, as if the files could not be written.
 */
export async function openForwardedAudit(
  options: AuditOptions,
  sinks: readonly SinkOptions[],
): Promise<ForwardedAudit> {
  // Every file has the same records.
  const { file } = options.sinks[0]!;
  let log: Audit | undefined;
  const onGap = ({ sink, ...gap }: Gap): boolean => {
    try {
      log?.write({ kind: 'audit', fields: { event: 'gap', sink, ...gap } });
      return log !== undefined;
    } catch {
      return false;
    }
  };
  const forwarders = sinks.map((sink) => new Forwarder({ ...sink, file, onGap }));
  const close = async () => void (await Promise.all(forwarders.map((forwarder) => forwarder.close())));
  try {
    for (const forwarder of forwarders) await forwarder.prepare();
    log = await openAudit({
      ...options,
      onWritten: (records, bytes) => {
        for (const forwarder of forwarders) forwarder.wrote(records, bytes);
      },
      unread: async () => new Set((await Promise.all(forwarders.map((forwarder) => forwarder.unread()))).flat()),
    });
  } catch (error) {
    await close();
    throw error;
  }
  for (const forwarder of forwarders) forwarder.start();
  return new Forwarded(log, forwarders);
}

class Forwarded implements ForwardedAudit {
  readonly #log: Audit;
  readonly #forwarders: readonly Forwarder[];

  constructor(log: Audit, forwarders: readonly Forwarder[]) {
    this.#log = log;
    this.#forwarders = forwarders;
  }

  get sinks() {
    return this.#forwarders.map(({ status }) => status);
  }

  get refusal(): AuditError | undefined {
    return this.#log.refusal ?? this.#forwarders.find(({ refusal }) => refusal !== undefined)?.refusal;
  }

  get warnings(): readonly string[] {
    return this.sinks.flatMap(({ name, fail, failing }) =>
      failing === undefined ? [] : [`the audit's sink "${name}" (fail: ${fail}) does not take records`],
    );
  }

  write(entry: Entry, options: { durable: true }): Promise<void>;
  write(entry: Entry, options?: { durable?: false }): undefined;
  write(entry: Entry, options?: { durable?: boolean }): Promise<void> | undefined {
    if (!afterTheFact.has(entry.kind)) {
      for (const { refusal } of this.#forwarders) if (refusal !== undefined) throw refusal;
    }
    return options?.durable === true ? this.#log.write(entry, { durable: true }) : this.#log.write(entry);
  }

  /** The last records are those of the log's own end. */
  written(): Promise<void> {
    return this.#log.written();
  }

  async close(): Promise<void> {
    try {
      await this.#log.close();
    } finally {
      await Promise.all(this.#forwarders.map((forwarder) => forwarder.close()));
    }
  }
}
