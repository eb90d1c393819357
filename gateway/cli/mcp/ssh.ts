import ssh2, { type Client, type ClientChannel } from 'ssh2';
import { UpstreamError } from '../../errors.js';
import { detailsOf, refused, type Json, type Outcome } from './outcome.js';
import { hostOf, textOf, type Order } from './order.js';

/** run: one command on a host, in a connection of its own that ends with it. */

const output_bytes_max = 262_144;
const ready_ms_max = 30_000;
const denied = 126;

export async function run(order: Order): Promise<Outcome> {
  const { arguments: args, signal } = order;
  const client = new ssh2.Client();
  const leave = () => client.end();
  signal.addEventListener('abort', leave, { once: true });
  try {
    await connected(client, order);
    return await executed(client, textOf(args, 'command'), order);
  } catch (error) {
    return refused('unreachable', `the host could not be asked: ${(error as Error).message}`);
  } finally {
    signal.removeEventListener('abort', leave);
    client.end();
  }
}

function connected(client: Client, { target, place, token }: Order): Promise<void> {
  // Told over TLS: no other key is believed, and nobody is asked.
  const keys = new Set((target.host_keys ?? []).map((key) => key.split(' ')[1]));
  return new Promise((resolve, reject) => {
    client
      .on('ready', resolve)
      .on('error', reject)
      .on('close', () => reject(new UpstreamError('the gateway closed the connection')))
      .connect({
        ...{ host: hostOf(place), username: target.name, password: token, readyTimeout: ready_ms_max },
        ...(target.port === undefined ? {} : { port: target.port }),
        hostVerifier: (key: Buffer) => keys.has(key.toString('base64')),
      });
  });
}

function executed(client: Client, command: string, { arguments: args, prompt, waiting }: Order): Promise<Outcome> {
  const env = {
    ...(prompt.id === undefined ? {} : { SALLYPORT_PROMPT: prompt.id }),
    ...(prompt.trace === undefined ? {} : { TRACEPARENT: prompt.trace }),
  };
  return new Promise((resolve, reject) => {
    client.once('close', () => reject(new UpstreamError('the connection ended before the command did')));
    client.exec(command, { env }, (error, channel) => {
      if (error !== undefined) return reject(error);
      const stdout = new Output();
      const stderr = new Output();
      let code: number | null = null;
      let killed: string | undefined;
      channel.on('data', (chunk: Buffer) => stdout.take(chunk));
      channel.stderr.on('data', (chunk: Buffer) => {
        stderr.take(chunk);
        const said = /^sallyport: (waiting for an approval .*?request (h-\S+) .*)\r$/mu.exec(chunk.toString('utf8'));
        if (said !== null) waiting(said[1]!, { hold: { id: said[2] } });
      });
      channel.on('exit', (given: number | null, signal?: string) => {
        code = given;
        killed = signal;
      });
      channel.on('close', () => resolve(outcomeOf({ code, killed, stdout, stderr })));
      write(channel, args['stdin']);
    });
  });
}

function write(channel: ClientChannel, stdin: unknown): void {
  channel.on('error', () => undefined);
  channel.end(typeof stdin === 'string' ? stdin : '');
}

interface Ended {
  readonly code: number | null;
  readonly killed: string | undefined;
  readonly stdout: Output;
  readonly stderr: Output;
}

/** The gateway's refusal is a line of its own and one of JSON, the last on standard error, with the exit code 126. */
function outcomeOf({ code, killed, stdout, stderr }: Ended): Outcome {
  const said = stderr.text.split(/\r?\n/u).flatMap((line) => /^sallyport: (.*)$/u.exec(line)?.[1] ?? []);
  const machine = said.map(detailsOf).find((details) => 'decision' in details);
  const ended: Json = {
    exit_code: code,
    ...(killed === undefined ? {} : { signal: killed }),
    ...{ stdout: stdout.text, stderr: stderr.text, truncated: stdout.truncated || stderr.truncated },
  };
  if (code === denied && machine !== undefined)
    return refused('denied', said.find((line) => !line.startsWith('{')) ?? 'denied by policy', {
      ...machine,
      ...(stdout.text === '' ? {} : { stdout: stdout.text }),
      next: 'Change the command so that policy allows it, or ask the owners of the policy with the decision id.',
    });
  if (code === denied && said.some((line) => line.startsWith('not approved')))
    return refused(
      'not_approved',
      said.find((line) => line.startsWith('not approved'))!,
    );
  return { value: ended };
}

/** The beginning of what a command prints; the rest is read and thrown away, so that the command ends. */
class Output {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  truncated = false;

  take(chunk: Buffer): void {
    const room = output_bytes_max - this.#bytes;
    if (chunk.length > room) this.truncated = true;
    if (room <= 0) return;
    this.#chunks.push(chunk.subarray(0, room));
    this.#bytes += Math.min(chunk.length, room);
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}
