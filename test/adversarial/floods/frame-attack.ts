import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { malformedFrames, type MalformedFrames, type StreamProtocol } from './frames.js';
import type { Place } from './lane.js';

/** Says malformed frames through a gateway, from either side, and looks at how each stream ends. */

/** For a stream to be closed from the other side: the gateway waits five seconds for a word of somebody's end. */
const close_ms_max = 20_000;
const at_once = 12;
/** So many do nothing more when they are told that it is over: they are not waited for. */
const stubborn_every = 40;

const subresources: Readonly<Record<StreamProtocol, (pod: string) => string>> = {
  'v5.channel.k8s.io': (pod) => `pods/${pod}/exec?command=cat&stdin=true&stdout=true`,
  'v4.channel.k8s.io': (pod) => `pods/${pod}/exec?command=cat&stdin=true&stdout=true`,
  'SPDY/3.1+portforward.k8s.io': (pod) => `pods/${pod}/portforward`,
  ports: (pod) => `pods/${pod}/portforward?ports=8080`,
};
const nameOf = (protocol: StreamProtocol) => (protocol === 'ports' ? 'v4.channel.k8s.io' : protocol);

/** RFC 6455, 4.2.2. */
const acceptOf = (key: string) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/**
 * An API server whose pods `case-NUMBER` are malformed where their case is from the server's side, and silent where it is not. False:
 * it is another pod.
 */
export function hostileServer(request: IncomingMessage, socket: Duplex): boolean {
  const number = /\/pods\/case-(\d+)\//.exec(request.url ?? '')?.[1];
  if (number === undefined) return false;
  const { from, bytes, leaves, protocol } = malformedFrames(Number(number));
  socket.on('error', () => undefined);
  socket.write(
    [
      'HTTP/1.1 101 Switching Protocols',
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Accept: ${acceptOf(String(request.headers['sec-websocket-key']))}`,
      `Sec-WebSocket-Protocol: ${nameOf(protocol)}`,
      '\r\n',
    ].join('\r\n'),
  );
  if (from === 'server') socket.write(bytes);
  if (from === 'server' && leaves) socket.end();
  // Whatever it is told, it ends with the end.
  socket.on('data', (chunk: Buffer) => {
    if (endsIn(chunk)) socket.end();
  });
  socket.on('end', () => socket.end());
  return true;
}

/** Whether a frame that ends is the last here; frames of a client are masked. */
function endsIn(bytes: Buffer): boolean {
  for (let at = 0; at + 2 <= bytes.length;) {
    if ((bytes[at]! & 0x0f) === 8) return true;
    const short = bytes[at + 1]! & 0x7f;
    const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
    if (at + 2 + extended > bytes.length) return false;
    const length = short === 126 ? bytes.readUInt16BE(at + 2) : short === 127 ? bytes.readUInt32BE(at + 6) : short;
    at += 2 + extended + ((bytes[at + 1]! & 0x80) === 0 ? 0 : 4) + length;
  }
  return false;
}

/** One case to its end. Throws where it does not come, or says nothing. */
async function attack(place: Place, token: string, made: MalformedFrames, stubborn: boolean): Promise<void> {
  const { number, what, protocol, from, bytes, leaves } = made;
  const said = () =>
    `case ${String(number)} (${what}, from the ${from}, ${protocol}): ${bytes.toString('hex').slice(0, 400)}`;
  const socket = await open(place);
  const path = `/kubernetes/cloud/api/v1/namespaces/shop/${subresources[protocol](`case-${String(number)}`)}`;
  const head = [
    `GET ${path} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${token}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    `Sec-WebSocket-Protocol: ${nameOf(protocol)}`,
    '\r\n',
  ];
  let received = Buffer.alloc(0);
  let begun = false;
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the stream stays open: ${said()}`));
    }, close_ms_max);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!begun) {
        begun = true;
        if (from === 'client') socket.write(bytes);
        if (from === 'client' && leaves) socket.end();
      }
      if (!stubborn && endsIn(received.subarray(end + 4))) socket.end();
    });
    socket.write(head.join('\r\n'));
  });
  // What was malformed for certain has an answer: the end of a WebSocket, or a refusal in the place of its beginning.
  const end = received.indexOf('\r\n\r\n');
  const answered = received.toString('latin1', 0, 12) !== 'HTTP/1.1 101' || endsIn(received.subarray(end + 4));
  if (!leaves && (received.length === 0 || !answered)) throw new Error(`it ended without a word: ${said()}`);
}

const open = ({ host, port, ca }: Place): Promise<TLSSocket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port, ca });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      socket.off('error', reject);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });

/** A session that behaves: what it says comes back. */
export class Bystander {
  readonly #socket: WebSocket;
  #heard = '';
  #changed: () => void = () => undefined;
  #last: Promise<void> = Promise.resolve();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer) => {
      if (data[0] === 1) this.#heard += data.toString('utf8', 1);
      this.#changed();
    });
    socket.on('close', () => this.#changed());
  }

  static open({ host, port, ca }: Place, token: string): Promise<Bystander> {
    const url = `wss://${host}:${String(port)}/kubernetes/cloud/api/v1/namespaces/shop/${subresources['v5.channel.k8s.io']('web')}`;
    const socket = new WebSocket(url, ['v5.channel.k8s.io'], { ca, headers: { authorization: `Bearer ${token}` } });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('open', () => resolve(new Bystander(socket)));
    });
  }

  /** Throws where it does not come back. One after the other, whoever asks. */
  echoes(text: string): Promise<void> {
    const said = this.#last.then(() => this.#echo(text));
    this.#last = said.catch(() => undefined);
    return said;
  }

  async #echo(text: string): Promise<void> {
    this.#heard = '';
    this.#socket.send(Buffer.from(`\0${text}\n`));
    for (const until = Date.now() + close_ms_max; this.#heard !== `${text}\n`;) {
      if (this.#socket.readyState !== WebSocket.OPEN) throw new Error('the session beside them was closed');
      if (Date.now() > until) throw new Error(`the session beside them said ${JSON.stringify(this.#heard)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  close(): void {
    this.#socket.terminate();
  }
}

/** So many cases from this number on, while a session beside them goes on; gives what went wrong. */
export async function attackWithFrames(
  place: Place,
  token: string,
  bystander: Bystander,
  { first, count }: { readonly first: number; readonly count: number },
): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const work = async () => {
    while (next < count) {
      const at = next++;
      const made = malformedFrames((first + at) >>> 0);
      await attack(place, token, made, at % stubborn_every === 0).catch((error: unknown) => wrong.push(String(error)));
      if (at % 25 === 0) await bystander.echoes(String(at)).catch((error: unknown) => wrong.push(String(error)));
    }
  };
  await Promise.all(Array.from({ length: at_once }, work));
  return wrong;
}
