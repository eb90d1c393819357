import type { Logger } from 'pino';
import type { StatusConfig } from '../config/index.js';
import { statusDocument, type PluginState, type Standing, type StatusDocument } from './document.js';
import { Sender, type SenderOptions, type Sending } from './sender.js';

/** How the policy stands, for whoever asks, and for the service that `policy.status` names. */
export interface Telling {
  /** A layer that judges, from now on in the document. */
  add(name: string, layer: Standing): void;
  /** Something is otherwise. Nothing is sent before `start`: half of the layers would be told for all. */
  changed(): void;
  start(): void;
  document(): StatusDocument;
  /** Undefined where nobody is told. */
  readonly sending: Sending | undefined;
  /** Where the last attempt failed. */
  warnings(): readonly string[];
  close(): Promise<void>;
}

export interface TellingOptions extends Pick<SenderOptions, 'now' | 'send' | 'limits'> {
  readonly config: StatusConfig | undefined;
  /** Of this gateway among others over one state. */
  readonly id: string;
  readonly version: string;
  readonly log: Logger;
}

export function openTelling({ config, id, version, ...options }: TellingOptions): Telling {
  const layers = new Map<string, Standing>();
  const labels = { ...config?.labels, id, version };
  let started = false;
  const document = (): StatusDocument => statusDocument(labels, layers, sender && stateOf(sender.sending));
  const sender: Sender | undefined = config && new Sender({ ...options, config, document });
  return {
    add: (name, layer) => void layers.set(name, layer),
    changed: () => {
      if (started) sender?.changed();
    },
    start() {
      started = true;
      sender?.changed();
    },
    document,
    get sending() {
      return sender?.sending;
    },
    warnings() {
      const failure = sender?.sending.failure;
      if (failure === undefined) return [];
      return [
        `the status of the policy has not been taken since ${new Date(failure.since_ms).toISOString()}: ${failure.why}`,
      ];
    },
    close: async () => sender?.close(),
  };
}

const stateOf = ({ failure }: Sending): PluginState => (failure === undefined ? 'OK' : 'ERROR');
