import { message, WireClient, type Frame, type SignIn, type Value } from '../support/wire.js';

/**
 * One exchange of the corpus: what a client says, in the protocol's own messages, and how it is sent. The files of
 * corpus/ are lists of these.
 */
export interface Exchange {
  readonly name: string;
  readonly send: readonly Step[];
  /** Start-up parameters of the session. */
  readonly startup?: Readonly<Record<string, string>>;
  /** How many ReadyForQuery end the exchange; as many as there are queries and syncs, unless COPY swallows a Sync. */
  readonly ready?: number;
  /** The server's answer as it was recorded: types, SQLSTATEs, transaction status. Guards against cases that test nothing. */
  readonly answer?: string;
}

/** A bind value: text, NULL, or bytes in hexadecimal, which are sent as binary. */
export type Given = string | null | { readonly hex: string };

export type Step =
  | 'sync'
  | 'flush'
  | 'copyDone'
  /** A cancel request, on a connection of its own; sent when all that was awaited has come. */
  | 'cancel'
  | { readonly query: string }
  | { readonly parse: string; readonly name?: string; readonly types?: readonly number[] }
  | {
      readonly bind: readonly Given[];
      readonly statement?: string;
      readonly portal?: string;
      readonly formats?: readonly number[];
      readonly results?: readonly number[];
    }
  | { readonly describe: 'statement' | 'portal'; readonly name?: string }
  | { readonly execute: string; readonly rows?: number }
  | { readonly close: 'statement' | 'portal'; readonly name?: string }
  /** Parse, Bind, Describe of the portal, Execute, Sync: as drivers say it. */
  | {
      readonly extended: string;
      readonly values?: readonly Given[];
      readonly types?: readonly number[];
      readonly results?: readonly number[];
    }
  | { readonly copyData: string | { readonly hex: string } }
  | { readonly copyFail: string }
  /** Bytes as they are, in hexadecimal: a part of a message. */
  | { readonly raw: string }
  /** Nothing more is sent until a message of this type has come. */
  | { readonly await: string }
  /** A query of another session on the same side, awaited to its end. */
  | { readonly other: string };

/** How the bytes are cut: everything that need not wait in one write, or each byte in a turn of its own. */
export type Cut = 'whole' | 'bytes';

/** Runs one exchange in a session of its own; everything that was received after the greeting, to the connection's end. */
export async function run(exchange: Exchange, server: Server, cut: Cut): Promise<Frame[]> {
  const client = await open(server, exchange.startup);
  let other: WireClient | undefined;
  try {
    const greeting = client.received.length;
    let pending: Buffer[] = [];
    const flush = async () => {
      const bytes = Buffer.concat(pending);
      pending = [];
      if (cut === 'whole') {
        if (bytes.length > 0) client.sendRaw(bytes);
        return;
      }
      for (let at = 0; at < bytes.length; at++) {
        client.sendRaw(bytes.subarray(at, at + 1));
        await new Promise((settle) => setImmediate(settle));
      }
    };
    let ready = exchange.ready ?? exchange.send.filter(endsBatch).length;
    /** The type of the next message; undefined where the connection has ended, which is an answer, too. */
    const readOne = async (): Promise<string | undefined> => {
      const frame = await client.read().catch((error: unknown) => {
        if (client.socket.closed) return undefined;
        throw error;
      });
      if (frame?.type === 'Z') ready--;
      return frame?.type;
    };
    for (const step of exchange.send) {
      if (step === 'cancel') {
        await flush();
        await cancel(server, client);
      } else if (typeof step === 'object' && 'await' in step) {
        await flush();
        for (let type = await readOne(); type !== undefined && type !== step.await;) type = await readOne();
      } else if (typeof step === 'object' && 'other' in step) {
        await flush();
        other ??= await open(server);
        await other.query(step.other);
      } else {
        pending.push(encode(step));
      }
    }
    await flush();
    while (ready > 0) if ((await readOne()) === undefined) break;
    await client.end();
    return client.received.slice(greeting);
  } finally {
    client.socket.destroy();
    await other?.end();
  }
}

/** Where the sessions of a side go. */
export type Server = SignIn & { readonly host: string; readonly port: number };

export function open(server: Server, parameters: Readonly<Record<string, string>> = {}): Promise<WireClient> {
  return WireClient.open({ ...server, parameters });
}

async function cancel(server: Server, client: WireClient): Promise<void> {
  const messenger = await WireClient.connect(server);
  messenger.sendRaw(message.cancel(client.processId, client.secretKey));
  await messenger.closed();
}

const endsBatch = (step: Step): boolean =>
  step === 'sync' || (typeof step === 'object' && ('query' in step || 'extended' in step));

const value = (given: Given): Value =>
  typeof given === 'object' && given !== null ? Buffer.from(given.hex, 'hex') : given;

/** What a step is on the wire. */
export function encode(step: Step): Buffer {
  if (step === 'sync') return message.sync();
  if (step === 'flush') return message.flush();
  if (step === 'copyDone') return message.copyDone();
  if (typeof step === 'string') throw new Error(`${step} is no message`);
  if ('query' in step) return message.query(step.query);
  if ('parse' in step) return message.parse(step.parse, step.name, step.types);
  if ('bind' in step) {
    const { statement = '', portal = '', formats, results = [] } = step;
    return message.bind(step.bind.map(value), { statement, portal, results, ...(formats && { formats }) });
  }
  if ('describe' in step) return message.describe(step.describe === 'statement' ? 'S' : 'P', step.name);
  if ('execute' in step) return message.execute(step.execute, step.rows);
  if ('close' in step) return message.close(step.close === 'statement' ? 'S' : 'P', step.name);
  if ('extended' in step) {
    return Buffer.concat([
      message.parse(step.extended, '', step.types),
      message.bind((step.values ?? []).map(value), { results: step.results ?? [] }),
      message.describe('P'),
      message.execute(),
      message.sync(),
    ]);
  }
  if ('copyData' in step) {
    return message.copyData(typeof step.copyData === 'string' ? step.copyData : Buffer.from(step.copyData.hex, 'hex'));
  }
  if ('copyFail' in step) return message.copyFail(step.copyFail);
  if ('raw' in step) return Buffer.from(step.raw, 'hex');
  throw new Error(`a step that is no message: ${JSON.stringify(step)}`);
}

export function bytesOf(exchange: Exchange): number {
  return exchange.send.reduce(
    (sum, step) =>
      step === 'cancel' || (typeof step === 'object' && ('await' in step || 'other' in step))
        ? sum
        : sum + encode(step).length,
    0,
  );
}
