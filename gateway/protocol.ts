import type {
  Action,
  Decision,
  EngineCode,
  Input,
  Operation,
  Principal,
  Prompt,
  RevisionData,
  TargetInput,
} from '#engine';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { Copied, Recorded, Result } from './result.js';

/**
 * What a protocol sees of the rest of the gateway, and the rest of the gateway of a protocol. Protocols import this file
 * and `errors.ts`, and nothing else outside their own folder.
 */

/** A principal whose token was verified, and how long it holds. */
export interface Identity {
  readonly principal: Principal;
  /** Milliseconds since the epoch; the session ends then. */
  readonly expires_ms: number;
  /** A prompt that the token itself carries. */
  readonly prompt?: Prompt;
  /** The only target that it may be used for; absent: any. `openSession` refuses it for others. */
  readonly target?: string;
  /** The thumbprint of the client certificate that the token is bound to (RFC 8705), which was shown with it. */
  readonly certificate?: string;
}

/** What a client showed in its TLS handshake, in which it proved to hold the key of it. */
export interface ClientCertificate {
  readonly der: Buffer;
  /** Why none of the listener's authorities vouches for it; absent: one does. */
  readonly problem?: string;
}

/**
 * What a client is checked against that proves its password instead of sending it (SCRAM-SHA-256, RFC 5802 and RFC 7677).
 * Whether anybody has a password there is not said: who has none cannot prove it.
 */
export interface Provable {
  readonly salt: Buffer;
  readonly iterations: number;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
  /** Who holds it. Throws IdentityError, and records the refusal, where the key is not the one that `storedKey` is the hash of. */
  identify(clientKey: Buffer): Promise<Identity>;
}

/** A named upstream, as the configuration has it. */
export interface Target {
  readonly input: TargetInput;
  /**
   * The protocol's own part of the configuration, already validated, secrets resolved. Another object where a credential has
   * changed: new connections are made with that, those that are open go on.
   */
  readonly upstream: unknown;
  /** Why the target cannot be used (a secret or file is missing): shown to whoever asks for it. */
  readonly unavailable?: string | undefined;
  /**
   * For a credential that the guarded system has refused: asks where it comes from once more. Resolves to whether `upstream` is
   * another now, and worth one more attempt; never rejects. Absent: it stands in the configuration, and stays what it is.
   */
  renew?(refused: unknown): Promise<boolean>;
}

export interface Client {
  readonly address: string;
  readonly port: number;
  /** True where the connection itself keeps secrets: TLS, or the machine's own loopback. */
  readonly confidential: boolean;
}

/** What the enforcement of a protocol can do; an obligation outside this set turns an allow into a deny. */
export type Obligation =
  'mask' | 'filter' | 'limit.rows' | 'limit.bytes' | 'limit.seconds' | 'approval' | 'preview' | 'keep';

export interface Opening {
  readonly identity: Identity;
  readonly target: Target;
  readonly client: Client;
  readonly application?: string;
  readonly prompt?: Prompt;
  /** The decision inside of which all of it happens: that of a tunnel which is looked into. */
  readonly within?: string;
  readonly supports: ReadonlySet<Obligation>;
}

/** What a recording begins with. */
export interface RecordingAbout {
  /** The decision that let it through. */
  readonly decision: string;
  /** "exec", "shell", … */
  readonly request: string;
  readonly command?: string;
  /** Absent: there is none, and lines end as in a file. */
  readonly terminal?: { readonly columns: number; readonly rows: number; readonly type?: string };
  /** Whether policy masks what comes back: then what is recorded is masked as well. */
  readonly masked: boolean;
}

/** One operation as it is recorded. */
export interface Recording {
  readonly id: string;
  /** Whether the client may be shown it: false where it is not recorded and has to be. Of a promise, nothing more may come until then. */
  output(stream: 'stdout' | 'stderr', bytes: Buffer): Promise<boolean> | boolean;
  /** What the client sends, where that is not echoed: so much as the configuration has, then its length and digest. */
  input(bytes: Buffer): void;
  resize(columns: number, rows: number): void;
  /** A word of the gateway's own. */
  note(text: string): void;
  /** Called once, where the operation has to end because what it does can no longer be recorded. */
  onLost(listener: () => void): void;
  /** It is over. Never rejects. */
  close(exit: string | undefined): Promise<Recorded>;
}

/** What a copy begins with. */
export interface CopyAbout extends Omit<RecordingAbout, 'terminal'> {
  /** Of a file that is opened by its name. */
  readonly path?: string;
}

/** What one operation transfers, as it is kept. */
export interface Copy {
  readonly id: string;
  /**
   * Before the bytes go on: false where they must not, as they are not kept. Of a promise, nothing more may come until then.
   *
   * @param way read: they come from the target. written: they go there.
   * @param offset In the file; absent: behind those before.
   */
  piece(way: 'read' | 'written', bytes: Buffer, offset?: number): Promise<boolean> | boolean;
  /** Called once, where the operation has to end because what it transfers can no longer be kept. */
  onLost(listener: () => void): void;
  /** It is over; undefined where nothing was transferred, and nothing is kept. Never rejects. */
  close(how: string): Promise<Copied | undefined>;
}

export interface Recorder {
  /** Undefined: it goes on without. Rejects with AuditError where it must not. */
  begin(session: Session, about: RecordingAbout): Promise<Recording | undefined>;
  /** The same for what is transferred. */
  copy(session: Session, about: CopyAbout): Promise<Copy | undefined>;
}

/**
 * What an operation does, for whoever answers: on the screen of approvers, its counts in the record too. Never for whoever
 * asked: it says what they may learn once it is approved. At most `effect_bytes_max` as JSON.
 */
export interface Effect {
  /**
   * measured: it ran in a transaction that nobody has committed, or in another way of which nothing is kept. estimated: it did not run,
   * and this is a plan's word, or nothing is known.
   */
  readonly basis: 'measured' | 'estimated';
  /** Estimated: why it was not measured. */
  readonly reason?: string;
  /**
   * Measured: until when its transaction stays open, in milliseconds since the epoch. After that it was undone, so that
   * others need not wait; approved, it runs again, and is committed if it does the same.
   */
  readonly held_until_ms?: number;
  /** Every relation of which rows were written, those that the statement names first. */
  readonly relations: readonly EffectOnRelation[];
  /** What the counts do not say (a sequence that goes on, constraints that wait for the end), in words for people. */
  readonly notes: readonly string[];
}

export interface EffectOnRelation {
  /** As in `operation.resources`. */
  readonly relation: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  /** True where the statement does not name it: a cascade or a trigger did it. */
  readonly indirect?: boolean;
  /**
   * Some of the rows, column by column as text, masked as the principal's own reads are; long values are cut and end in
   * "…". Only `before`: deleted. Only `after`: inserted. Absent: none can be shown, and a note says why.
   */
  readonly sample?: readonly SampleRow[];
}

export interface SampleRow {
  readonly before?: Readonly<Record<string, string | null>>;
  readonly after?: Readonly<Record<string, string | null>>;
}

/** Of an Effect as JSON. */
export const effect_bytes_max = 65_536;

/** How a hold ended. */
export type HoldEnd =
  /** Submit the operation again: it is judged anew, and what was given is used up there. */
  | { readonly how: 'approved' }
  /** Another policy is in force than the one that asked: submit the operation again, it is judged by that. */
  | { readonly how: 'superseded' }
  | { readonly how: 'refused'; readonly by: string; readonly comment?: string }
  | { readonly how: 'expired' }
  /** Taken back by the gateway or an administrator: the session ends, the state is lost. */
  | { readonly how: 'withdrawn'; readonly why: string };

/** Why a protocol takes its request back. */
export type Withdrawal =
  | 'cancelled'
  | 'client_gone'
  | 'session_ended'
  | 'preview_failed'
  /** The upstream gave up the transaction that it would have run in. */
  | 'batch_failed'
  /** Another revision came into force: the operation is judged anew. */
  | 'policy_changed'
  | 'shutdown';

/** An operation that waits for people. */
export interface Hold {
  /** "h-…": what approvers, records and the client call it. */
  readonly id: string;
  /** Where a person answers; absent where the gateway serves no console. */
  readonly link?: string;
  /** Milliseconds since the epoch. */
  readonly expires_ms: number;
  /** Whether policy asks to see what the operation does before it is answered. */
  readonly preview: boolean;
  /** How long a preview may keep what it has locked, before it is undone and nobody else has to wait. */
  readonly preview_ms: number;
  /** Resolves once, with what ended it; never rejects. */
  readonly ended: Promise<HoldEnd>;
  /**
   * Before anything is run for a preview: resolves when the record that it will be is durable. A rejection (AuditError)
   * means that nothing may be run.
   */
  previewing(): Promise<void>;
  /** Shows approvers what the operation does. May be called again. */
  show(effect: Effect): Promise<void>;
  /** Nobody waits any more. Does nothing where it has ended. */
  withdraw(why: Withdrawal): void;
}

/** One operation, judged and recorded. */
export interface Submission {
  readonly decision: Decision;
  /** Where the decision is a hold: the request that people answer. Never there otherwise. */
  readonly hold?: Hold | undefined;
  /** Undefined: the bytes may leave now. Else they may when it resolves; a rejection (AuditError) means refused. */
  readonly recorded: Promise<void> | undefined;
  /** Exactly once for an operation that was allowed and sent; never for one that was refused. */
  settle(result: Result): void;
}

/** What the protocol makes of an allow, before it is recorded: a refusal, or what is to leave. */
export interface Enforced {
  readonly refusal?: { readonly code: EngineCode; readonly message: string } | undefined;
  /** SHA-256 of what leaves in place of what the client sent; absent where that leaves as it came. */
  readonly sent?: string | undefined;
}

export interface Circumstances {
  readonly transaction?: 'idle' | 'open' | 'failed';
  /** The prompt that the operation itself names; else the session's. */
  readonly prompt?: Prompt;
  /** What of the policy's data the operation was understood by: under a policy with other data it is refused. */
  readonly understoodBy?: { readonly data: string; readonly digest: string };
  /**
   * The protocol's own object of the operation as a record may have it where values must not stand there. Absent: then
   * nothing of that object is recorded.
   */
  readonly withhold?: (own: unknown, what: Withheld) => Readonly<Record<string, unknown>>;
  /**
   * The protocol's own object without what only those may know who answer for it: in records, and in a request as everybody sees it, its
   * requester too. Absent: there is no such thing in it.
   */
  readonly told?: (own: unknown, to: 'records' | 'request') => unknown;
}

/** What may not stand in a record. */
export interface Withheld {
  /** The names of the columns, as resources have them, whose values are withheld; undefined: all values are. */
  readonly columns: ReadonlySet<string> | undefined;
  /** What stands in the record in place of a value: whoever has the key and the value can tell that it is the one. */
  readonly conceal: (value: string) => string;
}

/** One principal at one target through one connection. */
export interface Session {
  readonly id: string;
  readonly principal: Principal;
  readonly target: Target;
  /** Decides without recording: for what is looked at and does not run. Never throws. */
  decide(operation: Operation, circumstances?: Circumstances): Decision;
  /** Decides the operation and records the intent. Never throws: what goes wrong is a deny. */
  submit(operation: Operation, circumstances?: Circumstances): Submission;
  /**
   * The same, where masks and filters have to be put into the operation: `enforce` is asked of every allow, and of every
   * hold before anybody is asked. A promise where it has to wait, for that or for what approvals are kept in.
   */
  submit(
    operation: Operation,
    circumstances: Circumstances,
    enforce: (decision: Decision) => Enforced | Promise<Enforced>,
  ): Submission | Promise<Submission>;
  /** The prompt that the session says from now on, where an operation says none of its own; undefined: the one it was opened with. */
  claim(prompt: Prompt | undefined): void;
  /** Whether the policy in force has rules that mask or filter. */
  masks(): boolean;
  /** Whether a decision of the policy in force may depend on this path of the input ("operation.postgres.parameters"). */
  policyReads(path: string): boolean;
  /** What the policy in force has in its data under a name. Absent: nothing, whatever the name. */
  policyData?(name: string): RevisionData;
  /** Called once when the session has to end (its token expired, it was killed, the gateway stops); at once if it had to already. */
  onEnd(listener: (reason: SessionEnd) => void): void;
  /** The connection is gone. */
  close(reason: string): void;
}

export interface SessionEnd {
  readonly code: 'token_expired' | 'killed' | 'shutdown';
  readonly message: string;
}

export interface Services {
  readonly log: Logger;
  /**
   * Turns a token or a ticket into an identity, or a client certificate, or both where they belong together. Throws IdentityError,
   * and records the refusal.
   */
  identify(token: string | undefined, client: Client, certificate?: ClientCertificate): Promise<Identity>;
  /**
   * Where a user name is the first half of a ticket: the second half is a password that can be proven without sending it.
   * Undefined for all other names: a token has to be sent.
   */
  provable?(name: string, client: Client): Promise<Provable | undefined>;
  /**
   * Who holds an OpenSSH user certificate, of whom it was proven that they hold its key, and that they come as `user`. Throws
   * IdentityError, and records it, where the certificate is not good, or not of this gateway.
   */
  certified?(certificate: Buffer, user: string, client: Client): Promise<Identity>;
  target(protocol: string, name: string): Target | undefined;
  /** All of a protocol's, in the order in which the configuration has them. */
  targets?(protocol: string): readonly Target[];
  /** Throws IdentityError, and records it, where the identity is good for another target only. */
  openSession(opening: Opening): Session;
  /** The key of a target's keyed masks, as 64 hexadecimal digits: for its upstream alone. */
  maskKey?(target: string): string;
  /** Whose tokens are taken: the issuers of the identity providers. */
  readonly issuers?: readonly string[];
  /** The names that clients know the gateway by, as far as the configuration says. */
  readonly names?: readonly string[];
  /** Absent: nothing is recorded but what the audit has. */
  readonly recorder?: Recorder | undefined;
  /** A secret of the gateway's own: made once, and kept in the state directory under this name. */
  keep(name: string, make: () => string): Promise<string>;
  /** Names under which something is kept that begin so. */
  kept(prefix: string): Promise<readonly string[]>;
}

/** Both PEM: its certificate first, then those above it, if any. */
export interface SigningAuthority {
  readonly certificate: string;
  readonly key: string;
  /** What its files hold now; undefined where they are as they were last time. Rejects with a ConfigError where that cannot be used. */
  renewed?(): Promise<SigningAuthority | undefined>;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientAuthorities?: string };
  /** Absent, or a part of it: as many and as long as is usual for the protocol. */
  readonly bounds?: Partial<Bounds>;
  /** A private key that the gateway shows to its clients (SSH). Absent: one that is made once. */
  readonly hostKey?: string;
  /** Signs what is shown in place of the servers' own certificates (the egress proxy), both PEM. */
  readonly authority?: SigningAuthority;
  /** A private key that vouches for the one that is shown (SSH). Absent: one that is made once. */
  readonly hostAuthority?: string;
}

/** How many connections a listener has, and how long it waits for those who come slowly. */
export interface Bounds {
  /** At once, of those who have signed in; nobody has more than half of them. */
  readonly connections_max: number;
  /** At once, on which nobody has signed in yet. Where one more comes, the oldest of whoever has most gives way. */
  readonly strangers_max: number;
  /** From a connection to what its client wants there: the head of a request, or a session. */
  readonly greeting_ms_max: number;
  /** For a request over HTTP to come whole. */
  readonly request_ms_max: number;
  /** While a client takes nothing of what waits for it. */
  readonly stalled_ms_max: number;
}

export interface Listener {
  readonly protocol: string;
  /** Where it really listens: the port that was given where the configuration says 0. */
  readonly address: { readonly host: string; readonly port: number };
  /** What a person should know of it, said at the start beside the address. */
  readonly note?: string;
  /** With what it proves itself to clients that know keys rather than certificates: "ssh-ed25519 AAAA…". */
  readonly hostKeys?: readonly string[];
  /** Who vouches for such keys, in the same form; absent where nobody does. */
  readonly hostAuthority?: string;
  /** Stops accepting; ends what is open. */
  close(): Promise<void>;
}

/** What a protocol serves on the HTTPS listener, which it shares with others: everything below a path of its own. */
export interface Mount {
  /** "/http/": with a slash at both ends. Compared to the request's target as it was sent, without decoding. */
  readonly prefix: string;
  /** Answers it, whatever happens; never throws. */
  serve(request: IncomingMessage, response: ServerResponse): void;
  /**
   * The same for a request that asks for another protocol on its connection, of which nothing was answered yet. Absent: `serve`
   * gets it as any other, and its answer ends the connection.
   */
  upgrade?(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Whether a target of the protocol is reached below the path. Absent: each is. */
  reaches?(target: Pick<Target, 'upstream'>): boolean;
  /** Ends what is open. */
  close(): Promise<void>;
}

/** One row of the registry. A protocol has a listener of its own, a mount on the HTTPS listener, or both. */
export interface Protocol {
  readonly name: string;
  /** Validates and reads a target's `upstream`; a ConfigError names the key. */
  readonly upstreamSchema: object;
  /** The JSON Schema of the object that this protocol puts under `operation`. */
  readonly operationSchema: object;
  /** Whatever its operations may do: policy that asks for another is never met, and one that lacks one of them leaves it open. */
  readonly actions: readonly Action[];
  listen?(address: ListenAddress, services: Services): Promise<Listener>;
  /** Further ways to its targets, by their names in the configuration's `listen`. */
  readonly listeners?: Readonly<Record<string, (address: ListenAddress, services: Services) => Promise<Listener>>>;
  mount?(services: Services): Mount | readonly Mount[];
  /**
   * What somebody does first at a target of this protocol. Who may do one of them is shown the target in lists; nothing of it is done
   * or recorded. Absent: its targets are in no list.
   */
  readonly firstSteps?: (upstream: unknown) => readonly Operation[];
  /**
   * What is wrong with a filter's predicate, as far as that is known without its target; undefined where nothing is. The build of a policy
   * asks for every filter that is written out in it.
   */
  readonly filterProblem?: (where: string, resource: string | undefined) => Promise<string | undefined>;
}

export type { Copied, Recorded, Result, Transferred } from './result.js';
export type { Decision, Input, Operation, Principal, Prompt };
