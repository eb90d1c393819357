import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/**
 * What stands in a Postgres server's place, and lets messages through one at a time: so that a test can do something between any two of
 * them, once the server has done with those before.
 */
export interface Gate {
  readonly host: string;
  readonly port: number;
  /** Messages that have come since `arm`. */
  readonly count: number;
  /** From now on messages are counted, from 0; before the one with this number `act` runs. */
  arm(before: number, act: () => Promise<void>): void;
  disarm(): void;
  close(): Promise<void>;
}

export async function startGate(to: { readonly host: string; readonly port: number }): Promise<Gate> {
  let armed: { readonly before: number; readonly act: () => Promise<void> } | undefined;
  let count = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(to.port, to.host);
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    /** Messages that the server has not answered yet; undefined: it skips them. */
    let unanswered = 0;
    let answered: () => void = () => undefined;
    frames(upstream, true, (type, frame) => {
      if (ends.has(type)) unanswered = Math.max(0, unanswered - 1);
      if (type === 'E' || type === 'Z') unanswered = 0;
      if (unanswered === 0) answered();
      client.write(frame);
    });
    let last = Promise.resolve();
    let isStarted = false;
    frames(client, false, (type, frame) => {
      last = last.then(async () => {
        if (isStarted && armed !== undefined && count++ === armed.before) {
          if (unanswered > 0) {
            upstream.write(flush);
            await new Promise<void>((resolve) => (answered = resolve));
          }
          await armed.act();
        }
        isStarted = true;
        if (asks.has(type)) unanswered++;
        upstream.write(frame);
      });
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    host: '127.0.0.1',
    port,
    get count() {
      return count;
    },
    arm(before, act) {
      count = 0;
      armed = { before, act };
    },
    disarm() {
      armed = undefined;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Parse, Bind, Describe, Execute, Close: each is answered, and what ends the answer. */
const asks: ReadonlySet<string> = new Set('PBDEC');
const ends: ReadonlySet<string> = new Set('12TnCIs3G');
const flush = Buffer.from('4800000004', 'hex');

/** A start-up packet comes without a type; so it is of the client's first message, whose type is given as ''. */
function frames(socket: Socket, started: boolean, each: (type: string, frame: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  let isStarted = started;
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const at = isStarted ? 1 : 0;
      if (rest.length < at + 4) return;
      const length = at + rest.readInt32BE(at);
      if (rest.length < length) return;
      const frame = rest.subarray(0, length);
      rest = rest.subarray(length);
      each(isStarted ? String.fromCharCode(frame[0]!) : '', frame);
      isStarted = true;
    }
  });
}
