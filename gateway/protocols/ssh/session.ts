import { setTimeout as delay } from 'node:timers/promises';
import type { RevisionData } from '#engine';
import type { Logger } from 'pino';
import type { Client, Connection, ServerChannel, Session as ClientSession } from 'ssh2';
import { noKinds } from '../../content/index.js';
import type { Prompt, Recorder, Recording, Session } from '../../protocol.js';
import { programsData } from '../../shell/index.js';
import { beginCopy, type TransferCopy } from './copies.js';
import { Channel } from './channel.js';
import type { SshUpstream } from './config.js';
import { exitDenied, exitFailed, failure, line } from './enforce.js';
import { forward } from './forwarding.js';
import { connectOperation, subsystemOperation, type Place } from './operation.js';
import { permit, type Permitted } from './permit.js';
import { aboutOf, type TerminalSize } from './recorded.js';
import { relay, type ClientSide } from './relay.js';
import type { Asked, Opened, Owner, Run, Running } from './runs.js';
import { SftpGate } from './sftp.js';
import { SshAgent } from './ssh-agent.js';
import { connectUpstream, NotLetIn } from './upstream.js';

/** One client, signed in: its channels, each of which is judged for itself. */

/** What was asked of a host just before the end may have begun there. */
const begun_ms_max = 2_000;
/** As OpenSSH's MaxSessions, with room for what multiplexes. */
const channels_max = 64;

export interface SshSessionParts {
  readonly connection: Connection;
  readonly session: Session;
  readonly upstream: SshUpstream;
  readonly log: Logger;
  readonly recorder: Recorder | undefined;
  readonly closed: () => void;
}

export class SshSession implements Owner {
  readonly #parts: SshSessionParts;
  readonly #place: Place;
  readonly #gone = new AbortController();
  /** What the host is reached through, once the connect was allowed; or the words for why it is not. */
  readonly #connected: Promise<Client | string>;
  #client: Client | undefined;
  #channels = 0;
  readonly agent: SshAgent;
  readonly #channelsOpen = new Set<ClientSide>();
  /** Channels that the host was asked for, and has not answered. */
  readonly #asked = new Set<Promise<unknown>>();

  constructor(parts: SshSessionParts) {
    this.#parts = parts;
    const { connection, session, upstream } = parts;
    this.#place = { user: upstream.user, host: `${upstream.host}:${upstream.port}` };
    this.agent = new SshAgent({ connection, session, place: this.#place, gone: this.#gone.signal });
    this.#connected = this.#connect();
    forward(parts.connection, session, this.#place, this.#connected, this.#gone.signal);
    connection.on('session', (accept, reject) => this.#open(accept, reject));
    connection.once('close', () => this.#close('closed'));
    session.onEnd(({ message }) => this.end(message));
  }

  /** Ends everything, and says why to whoever has a channel: with the exit code of what did not end by itself. */
  end(message: string): void {
    for (const channel of this.#channelsOpen) {
      if (channel.stderr.writable) channel.stderr.write(line(message));
      channel.exit(exitFailed);
    }
    this.#parts.connection.end();
    this.#close('ended');
  }

  #close(reason: string): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    void this.#leaveHost();
    this.#parts.session.close(reason);
    this.#parts.closed();
  }

  /** After its channels: what still runs on the host, or has just begun there, is told to end first. */
  async #leaveHost(): Promise<void> {
    const late = new AbortController();
    const tooLate = delay(begun_ms_max, undefined, { ref: false, signal: late.signal }).catch(() => undefined);
    await Promise.race([Promise.allSettled(this.#asked), tooLate]);
    late.abort();
    setImmediate(() => this.#client?.end());
  }

  /** The first operation of every session: nothing goes to the host before it is allowed. */
  async #connect(): Promise<Client | string> {
    const { session, upstream } = this.#parts;
    const allowed = await permit(session, connectOperation(this.#place), {
      wait: () => undefined,
      gone: this.#gone.signal,
    });
    if (!allowed.allowed) return allowed.said;
    try {
      const who = `${session.principal.subject} ${session.id}`;
      const client = await connectUpstream(upstream, this.#gone.signal, who).catch(async (error: unknown) => {
        const renewed = error instanceof NotLetIn && (await session.target.renew?.(upstream));
        if (renewed !== true) throw error;
        return connectUpstream(session.target.upstream as SshUpstream, this.#gone.signal, who);
      });
      if (this.#gone.signal.aborted) client.end();
      allowed.settle({ status: 'ok' });
      this.#client = client;
      client.once('close', () => this.end(`the host of ${session.target.input.name} closed the connection`));
      return client;
    } catch (error) {
      allowed.settle({ status: 'error' });
      return failure(error);
    }
  }

  #open(accept: () => ClientSession, reject: () => void): void {
    if (this.#channels >= channels_max) return reject();
    this.#channels += 1;
    const channel = accept();
    new Channel(channel, this);
    channel.once('close', () => {
      this.#channels -= 1;
    });
  }

  /**
   * Judges what a channel is for and joins it with one of the host. Every refusal is told on standard error, with an exit
   * code, as a command would.
   */
  async run({ channel, operation, prompt, understoodBy, terminal, open, within }: Run): Promise<Running | undefined> {
    const gone = this.#follow(channel, within === undefined);
    const client = await this.#connected;
    if (typeof client === 'string') return refuse(channel, client, exitDenied);
    const allowed = await permit(this.#parts.session, operation, {
      wait: (said) => channel.stderr.write(said),
      ...{ gone, prompt, understoodBy },
    });
    if (!allowed.allowed) return refuse(channel, allowed.said, exitDenied);
    within?.decided(allowed.decision);
    const recorded_in = within?.recording;
    const settle: Permitted['settle'] = (result) =>
      allowed.settle(recorded_in === undefined ? result : { ...result, recorded_in });
    const { recorder, session } = this.#parts;
    const kinds = allowed.kinds | (within?.kinds ?? noKinds);
    const keep = allowed.keep && { kinds: allowed.keep.kinds | kinds };
    let recording: Recording | undefined;
    let copy: TransferCopy | undefined;
    try {
      if (within === undefined) recording = await recorder?.begin(session, aboutOf(operation, allowed, terminal));
      // What is on a terminal's screen is recorded there; what is typed nobody transfers.
      if (terminal === undefined) copy = await beginCopy(recorder, session, operation, { ...allowed, keep });
      const opening = open(client);
      this.#asked.add(opening);
      const upstream = await opening.finally(() => this.#asked.delete(opening));
      relay({ client: channel, upstream, gone, permit: { ...allowed, settle, kinds }, operation, recording, copy });
      return { upstream, recording };
    } catch (error) {
      const kept = await recording?.close('failed');
      await copy?.close('failed');
      settle({ status: 'error', ...(kept === undefined ? {} : { recording: kept }) });
      return refuse(channel, failure(error), exitFailed);
    }
  }

  /** A supervised shell: what is needed to begin, or nothing, and then the client was told why. */
  async beginShell(
    channel: ServerChannel,
    { operation, prompt }: Asked,
    terminal: TerminalSize | undefined,
  ): Promise<Opened | undefined> {
    const gone = this.#follow(channel);
    const client = await this.#connected;
    if (typeof client === 'string') return refuse(channel, client, exitDenied);
    const { session, recorder } = this.#parts;
    const allowed = await permit(session, operation, {
      wait: (said) => channel.stderr.write(said),
      ...{ gone, prompt },
    });
    if (!allowed.allowed) return refuse(channel, allowed.said, exitDenied);
    try {
      const recording = await recorder?.begin(session, aboutOf(operation, allowed, terminal));
      return { permit: allowed, recording, gone };
    } catch (error) {
      allowed.settle({ status: 'error' });
      return refuse(channel, failure(error), exitFailed);
    }
  }

  /** SFTP: the channel is joined through the gate that judges every file. */
  async runSftp(channel: ServerChannel, prompt: Prompt | undefined): Promise<void> {
    const gone = this.#follow(channel);
    const client = await this.#connected;
    if (typeof client === 'string') return void refuse(channel, client, exitDenied);
    const { session, log, recorder } = this.#parts;
    const allowed = await permit(session, subsystemOperation(this.#place, 'sftp'), {
      wait: (said) => channel.stderr.write(said),
      ...{ gone, prompt },
    });
    if (!allowed.allowed) return void refuse(channel, allowed.said, exitDenied);
    try {
      const gate = await SftpGate.open({ client, channel, session, place: this.#place, log, recorder, gone, prompt });
      gate.start(allowed);
    } catch (error) {
      allowed.settle({ status: 'error' });
      refuse(channel, failure(error), exitFailed);
    }
  }

  async offerAgent(channel: ServerChannel, prompt: Prompt | undefined): Promise<boolean> {
    const gone = this.#follow(channel);
    const client = await this.#connected;
    // Whoever asks for a command next is told why there is none.
    if (typeof client === 'string') return false;
    const said = await this.agent.offer(client, { wait: (words) => channel.stderr.write(words), gone, prompt });
    if (said !== undefined && channel.stderr.writable) channel.stderr.write(said);
    return said === undefined;
  }

  /** A mistake of our own: the channel ends, and nobody else's does. */
  broke(channel: ClientSide, error: unknown): void {
    this.#parts.log.error({ err: error }, 'an ssh channel broke');
    refuse(channel, failure(error), exitFailed);
  }

  /** Aborts when the channel, or the whole connection, is gone: then the library does not close its channels. */
  #follow(channel: ClientSide, isOwn = true): AbortSignal {
    const closed = new AbortController();
    // Of a shell's commands the shell's own channel is told.
    if (isOwn) this.#channelsOpen.add(channel);
    // Whoever is told something may have gone; that is seen by its close.
    channel.stderr.on('error', () => undefined);
    channel.on('error', () => undefined);
    channel.once('close', () => {
      this.#channelsOpen.delete(channel);
      closed.abort();
    });
    return AbortSignal.any([closed.signal, this.#gone.signal]);
  }

  get place(): Place {
    return this.#place;
  }

  get session(): Session {
    return this.#parts.session;
  }

  /** What the policy in force knows of programs. */
  get known(): RevisionData | undefined {
    return this.#parts.session.policyData?.(programsData);
  }
}

function refuse(channel: ClientSide, said: string, code: number): undefined {
  channel.stderr.end(said, () => {
    channel.exit(code);
    channel.end();
  });
  // What the client still sends leads nowhere.
  channel.resume();
  return undefined;
}
