import type { RevisionData } from '#engine';
import type { Logger } from 'pino';
import type { Client, ClientChannel, Connection, PseudoTtyInfo, ServerChannel, Session as ClientSession } from 'ssh2';
import type { Circumstances, Operation, Prompt, Recorder, Recording, Session } from '../../protocol.js';
import { harmlessValue, harmlessVariable, programsData, programsOf } from '../../shell/index.js';
import { promptOf } from '../../web/index.js';
import type { SshUpstream } from './config.js';
import { exitDenied, exitFailed, failure, line } from './enforce.js';
import { forward } from './forwarding.js';
import { connectOperation, execOperation, shellOperation, subsystemOperation, type Place } from './operation.js';
import { permit } from './permit.js';
import { aboutOf, type TerminalSize } from './recorded.js';
import { opened, relay, signal } from './relay.js';
import { SftpGate } from './sftp.js';
import { connectUpstream, NotLetIn } from './upstream.js';

/** One client, signed in: its channels, each of which is judged for itself. */

/** As OpenSSH's MaxSessions, with room for what multiplexes. */
const channels_max = 64;
const variables_max = 64;
/** As entries of terminfo are called: a path would have programs read a file as one. */
const terminalName = /^[\w.+-]{0,64}$/u;

/** What a channel is for, and which prompt that was. */
interface Asked {
  readonly operation: Operation;
  readonly prompt: Prompt | undefined;
  readonly understoodBy?: Circumstances['understoodBy'];
}

export interface SshSessionParts {
  readonly connection: Connection;
  readonly session: Session;
  readonly upstream: SshUpstream;
  readonly log: Logger;
  readonly recorder: Recorder | undefined;
  readonly closed: () => void;
}

export class SshSession {
  readonly #parts: SshSessionParts;
  readonly #place: Place;
  readonly #gone = new AbortController();
  /** What the host is reached through, once the connect was allowed; or the words for why it is not. */
  readonly #connected: Promise<Client | string>;
  #client: Client | undefined;
  #channels = 0;
  readonly #channelsOpen = new Set<ServerChannel>();

  constructor(parts: SshSessionParts) {
    this.#parts = parts;
    const { connection, session, upstream } = parts;
    this.#place = { user: upstream.user, host: `${upstream.host}:${upstream.port}` };
    this.#connected = this.#connect();
    forward(parts.connection, session, this.#place, this.#connected, this.#gone.signal);
    connection.on('session', (accept, reject) => this.#open(accept, reject));
    connection.once('close', () => this.#close('closed'));
    session.onEnd(({ message }) => this.end(message));
  }

  /** Ends everything, and says why to whoever has a channel. */
  end(message: string): void {
    for (const { stderr } of this.#channelsOpen) if (stderr.writable) stderr.write(line(message));
    this.#parts.connection.end();
    this.#close('ended');
  }

  #close(reason: string): void {
    if (this.#gone.signal.aborted) return;
    this.#gone.abort();
    // After its channels: what still runs on the host is told to end first.
    setImmediate(() => this.#client?.end());
    this.#parts.session.close(reason);
    this.#parts.closed();
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
  async run({ channel, operation, prompt, understoodBy, terminal, open }: Run): Promise<Running | undefined> {
    const gone = this.#follow(channel);
    const client = await this.#connected;
    if (typeof client === 'string') return refuse(channel, client, exitDenied);
    const allowed = await permit(this.#parts.session, operation, {
      wait: (said) => channel.stderr.write(said),
      ...{ gone, prompt, understoodBy },
    });
    if (!allowed.allowed) return refuse(channel, allowed.said, exitDenied);
    let recording: Recording | undefined;
    try {
      recording = await this.#parts.recorder?.begin(this.#parts.session, aboutOf(operation, allowed, terminal));
      const upstream = await open(client);
      relay({ client: channel, upstream, gone, permit: allowed, operation, recording });
      return { upstream, recording };
    } catch (error) {
      const kept = await recording?.close('failed');
      allowed.settle({ status: 'error', ...(kept === undefined ? {} : { recording: kept }) });
      return refuse(channel, failure(error), exitFailed);
    }
  }

  /** SFTP: the channel is joined through the gate that judges every file. */
  async runSftp(channel: ServerChannel, prompt: Prompt | undefined): Promise<void> {
    const gone = this.#follow(channel);
    const client = await this.#connected;
    if (typeof client === 'string') return void refuse(channel, client, exitDenied);
    const { session, log } = this.#parts;
    const allowed = await permit(session, subsystemOperation(this.#place, 'sftp'), {
      wait: (said) => channel.stderr.write(said),
      ...{ gone, prompt },
    });
    if (!allowed.allowed) return void refuse(channel, allowed.said, exitDenied);
    try {
      const gate = await SftpGate.open({ client, channel, session, place: this.#place, log, gone, prompt });
      gate.start(allowed);
    } catch (error) {
      allowed.settle({ status: 'error' });
      refuse(channel, failure(error), exitFailed);
    }
  }

  /** A mistake of our own: the channel ends, and nobody else's does. */
  broke(channel: ServerChannel, error: unknown): void {
    this.#parts.log.error({ err: error }, 'an ssh channel broke');
    refuse(channel, failure(error), exitFailed);
  }

  /** Aborts when the channel, or the whole connection, is gone: then the library does not close its channels. */
  #follow(channel: ServerChannel): AbortSignal {
    const closed = new AbortController();
    this.#channelsOpen.add(channel);
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

  /** What the policy in force knows of programs. */
  get known(): RevisionData | undefined {
    return this.#parts.session.policyData?.(programsData);
  }
}

interface Run extends Asked {
  readonly channel: ServerChannel;
  /** Undefined: without one. */
  readonly terminal: TerminalSize | undefined;
  readonly open: (client: Client) => Promise<ClientChannel>;
}

interface Running {
  readonly upstream: ClientChannel;
  readonly recording: Recording | undefined;
}

function refuse(channel: ServerChannel, said: string, code: number): undefined {
  channel.stderr.end(said, () => {
    channel.exit(code);
    channel.end();
  });
  // What the client still sends leads nowhere.
  channel.resume();
  return undefined;
}

/** One session channel: what is said before a command, the command, and what is said while it runs. */
class Channel {
  readonly #owner: SshSession;
  readonly #environment: Record<string, string> = {};
  /** Of the prompt behind it: for the record and for policy, and for the host never. */
  readonly #said = new Map<string, string>();
  #terminal: PseudoTtyInfo | undefined;
  #begun = false;
  #running: Running | undefined;

  constructor(session: ClientSession, owner: SshSession) {
    this.#owner = owner;
    session.on('env', (accept, reject, { key, val }: { key: string; val: string }) => {
      if (this.#begun) return answer(false, accept, reject);
      if (key === 'SALLYPORT_PROMPT' || key === 'TRACEPARENT') {
        this.#said.set(key === 'TRACEPARENT' ? 'traceparent' : 'x-sallyport-prompt', val);
        return answer(true, accept, reject);
      }
      const harmless = harmlessVariable.test(key) && harmlessValue.test(val);
      const known = harmless && Object.keys(this.#environment).length < variables_max;
      if (known) this.#environment[key] = val;
      answer(known, accept, reject);
    });
    session.on('pty', (accept, reject, info: PseudoTtyInfo & { readonly term?: string }) => {
      const taken = !this.#begun && terminalName.test(info.term ?? '');
      if (taken) this.#terminal = info;
      answer(taken, accept, reject);
    });
    session.on('window-change', (accept, _reject, { rows, cols, height, width }) => {
      if (this.#terminal !== undefined) Object.assign(this.#terminal, { rows, cols, height, width });
      this.#running?.upstream.setWindow(rows, cols, height, width);
      this.#running?.recording?.resize(cols, rows);
      answer(true, accept, undefined);
    });
    session.on('signal', (accept, reject, { name }) => {
      const sent = this.#running !== undefined && signal(this.#running.upstream, name);
      answer(sent, accept, reject);
    });
    session.on('x11', (_accept, reject) => answer(false, undefined, reject));
    session.on('auth-agent', (_accept, reject) => answer(false, undefined, reject));
    session.on('exec', (accept, reject, { command }) =>
      this.#begin(accept, reject, (channel) => this.#exec(channel, command)),
    );
    session.on('shell', (accept, reject) => this.#begin(accept, reject, (channel) => this.#shell(channel)));
    session.on('subsystem', (accept, reject, { name }) =>
      this.#begin(accept, reject, (channel) => this.#subsystem(channel, name)),
    );
  }

  /**
   * A channel is for one thing (RFC 4254, section 6.5), and it is judged with the terminal and the variables that were said before: what asks
   * for more behind that is refused, as it could reach the host unjudged.
   */
  #begin(
    accept: () => ServerChannel | undefined,
    reject: (() => void) | undefined,
    run: (channel: ServerChannel) => Promise<void>,
  ): void {
    if (this.#begun) return reject?.();
    this.#begun = true;
    const channel = accept();
    if (channel !== undefined) run(channel).catch((error: unknown) => this.#owner.broke(channel, error));
  }

  get #options() {
    return {
      ...(this.#terminal === undefined ? {} : { pty: this.#terminal }),
      ...(Object.keys(this.#environment).length === 0 ? {} : { env: this.#environment }),
    };
  }

  get #surroundings() {
    return { terminal: this.#terminal !== undefined, environment: this.#environment };
  }

  async #exec(channel: ServerChannel, command: string): Promise<void> {
    const { known, place } = this.#owner;
    const programs = programsOf(known?.documents ?? []);
    const { operation, sent } = execOperation(place, command, { ...this.#surroundings, programs });
    this.#running = await this.#owner.run({
      ...{ channel, ...this.#asked(operation), terminal: this.#terminal },
      ...(known === undefined ? {} : { understoodBy: { data: programsData, digest: known.digest } }),
      open: (client) => opened((done) => client.exec(sent, this.#options, done)),
    });
  }

  async #shell(channel: ServerChannel): Promise<void> {
    const operation = shellOperation(this.#owner.place, this.#surroundings);
    const { env } = this.#options;
    this.#running = await this.#owner.run({
      ...{ channel, ...this.#asked(operation), terminal: this.#terminal },
      open: (client) => opened((done) => client.shell(this.#terminal ?? false, env === undefined ? {} : { env }, done)),
    });
  }

  async #subsystem(channel: ServerChannel, name: string): Promise<void> {
    if (name === 'sftp') return this.#owner.runSftp(channel, promptOf(this.#said));
    const operation = subsystemOperation(this.#owner.place, name);
    this.#running = await this.#owner.run({
      ...{ channel, ...this.#asked(operation), terminal: undefined },
      open: (client) => opened((done) => client.subsys(name, done)),
    });
  }

  #asked(operation: Operation): Asked {
    return { operation, prompt: promptOf(this.#said) };
  }
}

const answer = (yes: boolean, accept: (() => void) | undefined, reject: (() => void) | undefined) =>
  // Typed as always there; absent where the client wants no answer.
  yes ? accept?.() : reject?.();
