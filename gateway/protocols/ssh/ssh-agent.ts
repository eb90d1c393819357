import type { Client, ClientChannel, Connection, ServerChannel } from 'ssh2';
import { UpstreamError } from '../../errors.js';
import type { Prompt, Session } from '../../protocol.js';
import { line } from './enforce.js';
import { halfOpen, Listening } from './forwarding.js';
import { sshAgentOperation, type Place } from './operation.js';
import { permit } from './permit.js';
import { opened } from './relay.js';

/**
 * The client's ssh-agent, lent to the host (`ssh -A`): whoever has the host can sign in elsewhere with the client's keys for as long as
 * the connection lives. It is offered where policy allows that, as an operation of its own, and to nobody but the host of this client.
 */

export interface SshAgentParts {
  readonly connection: Connection;
  readonly session: Session;
  readonly place: Place;
  /** Aborts when the client is gone. */
  readonly gone: AbortSignal;
}

export class SshAgent {
  readonly #parts: SshAgentParts;
  /** What the host may reach it by; undefined: it may not. */
  #offered: Listening | undefined;

  constructor(parts: SshAgentParts) {
    this.#parts = parts;
  }

  /**
   * What the client is told at once: its next request must not wait for this one's answer. What is denied is recorded here; what is
   * not is judged when there is a command that gets it.
   */
  mayBeOffered(prompt: Prompt | undefined): boolean {
    const { session, place, gone } = this.#parts;
    const operation = sshAgentOperation(place);
    if (session.decide(operation, prompt === undefined ? {} : { prompt }).outcome !== 'deny') return true;
    void permit(session, operation, { wait: () => undefined, gone, prompt }).then((allowed) => {
      if (allowed.allowed) allowed.settle({ status: 'cancelled' });
    });
    return false;
  }

  /**
   * Whether the host may be offered it from now on, asked for one command: @returns undefined where it may, else the words for the
   * client.
   */
  async offer(
    client: Client,
    asking: { readonly wait: (said: string) => void; readonly gone: AbortSignal; readonly prompt: Prompt | undefined },
  ): Promise<string | undefined> {
    const { session, place, gone } = this.#parts;
    const allowed = await permit(session, sshAgentOperation(place), asking);
    if (!allowed.allowed) return allowed.said;
    this.#offered?.end();
    this.#offered = new Listening(allowed, gone);
    serve(client, (done) => this.#connect(done));
    return undefined;
  }

  get isOffered(): boolean {
    return this.#offered !== undefined;
  }

  /** The host said no: nobody reaches it. */
  withdraw(): void {
    this.#offered?.end();
    this.#offered = undefined;
  }

  /** One connection of the host to it. */
  #connect(done: (error: Error | undefined, stream?: ServerChannel) => void): void {
    const offered = this.#offered;
    if (offered === undefined || this.#parts.gone.aborted) return done(new Error('it is not offered'));
    openAgentChannel(this.#parts.connection, (error, channel) => {
      if (error !== undefined || channel === undefined) return done(error ?? new Error('the client has none'));
      const client = halfOpen(channel);
      // The library joins the two by pipes, which know no limits, count nothing and leave one open when the other is gone.
      client.once('pipe', (upstream: ServerChannel) =>
        queueMicrotask(() => {
          upstream.unpipe(client);
          client.unpipe(upstream);
          offered.carry(client, upstream);
        }),
      );
      done(undefined, client);
    });
  }
}

/** What of the library is not in its types. */
interface ClientInsides {
  _agent: { getStream(done: (error: Error | undefined, stream?: ServerChannel) => void): void } | undefined;
}
interface ConnectionInsides {
  readonly _chanMgr: { add(opened: Opened): number };
  readonly _protocol: { openssh_authAgent(channel: number, window_bytes: number, packet_bytes: number): void };
}
interface Opened {
  (error: Error | undefined, channel?: ServerChannel): void;
  type?: string;
}

/** To the host, the library offers the agent that it would sign in with: this one is no way to sign in, as that has been done. */
function serve(
  client: Client,
  connect: (done: (error: Error | undefined, stream?: ServerChannel) => void) => void,
): void {
  (client as unknown as ClientInsides)._agent = { getStream: connect };
}

const type = 'auth-agent@openssh.com';
/** As the library has them for every channel. */
const window_bytes = 2 * 1024 * 1024;
const packet_bytes = 32 * 1024;

/** The library's server has a method to open every kind of channel but this one. */
export function openAgentChannel(connection: Connection, done: Opened): void {
  const { _chanMgr: channels, _protocol: protocol } = connection as unknown as ConnectionInsides;
  const opened: Opened = (error, channel) => done(error, channel);
  opened.type = type;
  const channel = channels.add(opened);
  if (channel === -1) return done(new Error('there are too many channels'));
  protocol.openssh_authAgent(channel, window_bytes, packet_bytes);
}

/** Asks the host for a command or a shell, with what is asked for besides. */
export type Open = (
  more: { readonly agentForward?: true },
  done: (error: Error | undefined, channel: ClientChannel) => void,
) => unknown;

/** With the ssh-agent, and where the host takes none, as ssh does it: without. The library asks for it before all else. */
export async function openLending(agent: SshAgent, channel: ServerChannel, open: Open): Promise<ClientChannel> {
  if (!agent.isOffered) return opened((done) => open({}, done));
  try {
    return await opened((done) => open({ agentForward: true }, done));
  } catch (error) {
    if (!(error instanceof UpstreamError && error.message.includes('agent forwarding'))) throw error;
    agent.withdraw();
    if (channel.stderr.writable) channel.stderr.write(line('the host takes no ssh-agent'));
    return opened((done) => open({}, done));
  }
}
