import type { RevisionData } from '#engine';
import type { Client, ClientChannel, ServerChannel } from 'ssh2';
import type { Kinds } from '../../content/index.js';
import type { Circumstances, Operation, Prompt, Recording, Session } from '../../protocol.js';
import type { Place } from './operation.js';
import type { Permitted } from './permit.js';
import type { TerminalSize } from './recorded.js';
import type { SshAgent } from './ssh-agent.js';
import type { ClientSide } from './relay.js';

/** What channels ask of the session that they belong to. */

/** What a channel is for, and which prompt that was. */
export interface Asked {
  readonly operation: Operation;
  readonly prompt: Prompt | undefined;
  readonly understoodBy?: Circumstances['understoodBy'];
}

export interface Run extends Asked {
  readonly channel: ClientSide;
  /** Undefined: without one. */
  readonly terminal: TerminalSize | undefined;
  readonly open: (client: Client) => Promise<ClientChannel>;
  /** A line of a shell: it is recorded there. Absent: a command by itself, with a recording of its own. */
  readonly within?: Within;
}

export interface Within {
  /** The id of the shell's recording. */
  readonly recording: string | undefined;
  /** What is masked in all that the shell shows, whatever is masked in this line besides. */
  readonly kinds: Kinds;
  /** Told of the decision, before anything reaches the host. */
  readonly decided: (decision: string) => void;
}

/** What a shell has that may begin. */
export interface Opened {
  readonly permit: Permitted;
  readonly recording: Recording | undefined;
  /** Aborts when nobody is there any more. */
  readonly gone: AbortSignal;
}

export interface Running {
  readonly upstream: ClientChannel;
  readonly recording: Recording | undefined;
}

/** The session, as its channels see it. */
export interface Owner {
  readonly place: Place;
  readonly session: Session;
  /** What the policy in force knows of programs. */
  readonly known: RevisionData | undefined;
  /** Judges what a channel is for and joins it with one of the host; undefined where it was refused, and the client told. */
  run(run: Run): Promise<Running | undefined>;
  /** A supervised shell: what is needed to begin; undefined where it was refused, and the client told. */
  beginShell(channel: ServerChannel, asked: Asked, terminal: TerminalSize | undefined): Promise<Opened | undefined>;
  runSftp(channel: ServerChannel, prompt: Prompt | undefined): Promise<void>;
  /** The client's ssh-agent. */
  readonly agent: SshAgent;
  /** Judges whether the host is offered the client's ssh-agent; where it is not, the client is told why. */
  offerAgent(channel: ServerChannel, prompt: Prompt | undefined): Promise<boolean>;
  /** A mistake of our own. */
  broke(channel: ClientSide, error: unknown): void;
}
