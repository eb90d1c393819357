import type { ClientChannel, PseudoTtyInfo, ServerChannel, Session as ClientSession } from 'ssh2';
import type { Operation } from '../../protocol.js';
import { harmlessValue, harmlessVariable, programsData, programsOf } from '../../shell/index.js';
import { promptOf } from '../../web/index.js';
import { execOperation, shellOperation, subsystemOperation, supervisedOperation } from './operation.js';
import { opened, signal } from './relay.js';
import { openLending, type Open } from './ssh-agent.js';
import type { Asked, Owner, Running } from './runs.js';
import { SupervisedShell } from './supervised.js';

const variables_max = 64;
/** As entries of terminfo are called: a path would have programs read a file as one. */
const terminalName = /^[\w.+-]{0,64}$/u;

/** One session channel: what is said before a command, the command, and what is said while it runs. */
export class Channel {
  readonly #owner: Owner;
  readonly #environment: Record<string, string> = {};
  /** Of the prompt behind it: for the record and for policy, and for the host never. */
  readonly #said = new Map<string, string>();
  #terminal: PseudoTtyInfo | undefined;
  #begun = false;
  /** What it was told of lending the host its ssh-agent; undefined: it did not ask. */
  #mayLend: boolean | undefined;
  #running: Running | undefined;
  #supervised: SupervisedShell | undefined;

  constructor(session: ClientSession, owner: Owner) {
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
      this.#supervised?.resize({ rows, cols, height, width });
      answer(true, accept, undefined);
    });
    session.on('signal', (accept, reject, { name }) => {
      const running = this.#supervised === undefined ? this.#running : this.#supervised.running;
      const sent = running !== undefined && signal(running.upstream, name);
      answer(sent, accept, reject);
    });
    session.on('x11', (_accept, reject) => answer(false, undefined, reject));
    session.on('auth-agent', (accept, reject) => {
      if (this.#begun) return answer(false, accept, reject);
      this.#mayLend ??= this.#owner.agent.mayBeOffered(promptOf(this.#said));
      answer(this.#mayLend, accept, reject);
    });
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
    const lends = await this.#lends(channel);
    this.#running = await this.#owner.run({
      ...{ channel, ...this.#asked(operation), terminal: this.#terminal },
      ...(known === undefined ? {} : { understoodBy: { data: programsData, digest: known.digest } }),
      open: (client) =>
        this.#open(channel, lends, (more, done) => client.exec(sent, { ...this.#options, ...more }, done)),
    });
  }

  /** Which shell it is, or whether there is one, is for policy to say. */
  async #shell(channel: ServerChannel): Promise<void> {
    const raw = shellOperation(this.#owner.place, this.#surroundings);
    const supervised = supervisedOperation(this.#owner.place, this.#surroundings);
    if (this.#givesSupervised(raw, supervised)) return this.#supervise(channel, supervised);
    const { env } = this.#options;
    const lends = await this.#lends(channel);
    this.#running = await this.#owner.run({
      ...{ channel, ...this.#asked(raw), terminal: this.#terminal },
      open: (client) =>
        this.#open(channel, lends, (more, done) =>
          client.shell(this.#terminal ?? false, { ...(env === undefined ? {} : { env }), ...more }, done),
        ),
    });
  }

  /** Judged once it is known that there is something that may be lent the ssh-agent. */
  async #lends(channel: ServerChannel): Promise<boolean> {
    return this.#mayLend === true && (await this.#owner.offerAgent(channel, promptOf(this.#said)));
  }

  #open(channel: ServerChannel, lends: boolean, open: Open): Promise<ClientChannel> {
    return lends ? openLending(this.#owner.agent, channel, open) : opened((done) => open({}, done));
  }

  /** Where policy allows the one that nobody looks into, it is that; where it allows neither, that is what was asked for. */
  #givesSupervised(raw: Operation, supervised: Operation): boolean {
    const { prompt } = this.#asked(raw);
    const denied = (operation: Operation) =>
      this.#owner.session.decide(operation, prompt === undefined ? {} : { prompt }).outcome === 'deny';
    return denied(raw) && !denied(supervised);
  }

  async #supervise(channel: ServerChannel, operation: Operation): Promise<void> {
    const asked = this.#asked(operation);
    const lends = await this.#lends(channel);
    const opened = await this.#owner.beginShell(channel, asked, this.#terminal);
    if (opened === undefined) return;
    this.#supervised = new SupervisedShell({
      ...{ channel, owner: this.#owner, opened, prompt: asked.prompt },
      ...{ terminal: this.#terminal, environment: this.#environment, lends },
    });
    await this.#supervised.run();
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
