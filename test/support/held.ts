import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { approved, createEngine, deny, type Decision, type Input, type Operation } from '../../engine/index.js';
import type { Enforced, Hold, HoldEnd, Services, Session, SessionEnd, Submission } from '../../gateway/protocol.js';
import { postgres } from '../../gateway/protocols/postgres/index.js';
import { inputOf, layerOf } from './policy.js';
import type { TestDatabase } from './postgres.js';
import { startRelay } from './relay.js';
import { WireClient } from './wire.js';

/** A request as the test sees it, which plays the people. */
export interface Asked {
  readonly operation: Operation;
  readonly decision: Decision;
  answer(end: HoldEnd): void;
  /** Why the gateway took it back. */
  readonly withdrawn: Promise<string>;
}

/** The Postgres listener alone: a real policy and a real database, with people that the test plays. */
export interface Held {
  open(): Promise<WireClient>;
  /** The next request; in order, each once. */
  asked(): Promise<Asked>;
  readonly requests: number;
  /** Whether the server was sent these bytes. */
  sent(text: string): boolean;
  /** Ends the sessions, as an administrator would. */
  kill(): void;
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

const expires_ms = 15 * 60_000;

export async function startHeld(database: TestDatabase, rego: string): Promise<Held> {
  const engine = createEngine();
  engine.activate(await engine.prepare('git:1', [await layerOf(rego)]));
  const relay = await startRelay(() => database);
  const queue: Asked[] = [];
  const waiters: ((asked: Asked) => void)[] = [];
  const ends: ((end: SessionEnd) => void)[] = [];
  let requests = 0;

  const ask = (operation: Operation, decision: Decision, given: Set<string>): Hold => {
    let answer: (end: HoldEnd) => void = () => undefined;
    let tell: (why: string) => void = () => undefined;
    const ended = new Promise<HoldEnd>((resolve) => (answer = resolve));
    const withdrawn = new Promise<string>((resolve) => (tell = resolve));
    const asked: Asked = {
      operation,
      decision,
      withdrawn,
      answer: (end) => {
        if (end.how === 'approved') given.add(operation.hash);
        answer(end);
      },
    };
    requests++;
    const waiter = waiters.shift();
    if (waiter === undefined) queue.push(asked);
    else waiter(asked);
    return {
      id: `h-${String(requests)}`,
      link: `https://gateway.example/console/holds/h-${String(requests)}`,
      expires_ms: Date.now() + expires_ms,
      preview: decision.approvals.some(({ preview }) => preview === 'effect'),
      preview_ms: 60_000,
      ended,
      previewing: () => Promise.resolve(),
      show: () => Promise.resolve(),
      withdraw: (why) => {
        tell(why);
        answer({ how: 'withdrawn', why });
      },
    };
  };

  const openSession: Services['openSession'] = (opening): Session => {
    const given = new Set<string>();
    const input = (operation: Operation, transaction: Input['session']['transaction'] = 'idle') =>
      inputOf({ operation, target: opening.target.input, session: { ...inputOf().session, transaction } });
    const submission = (decision: Decision, hold?: Hold): Submission => ({
      decision,
      ...(hold === undefined ? {} : { hold }),
      recorded: undefined,
      settle: () => undefined,
    });
    const session: Pick<Session, 'decide'> = {
      decide: (operation, circumstances) => engine.decide(input(operation, circumstances?.transaction)),
    };
    return {
      id: randomUUID(),
      principal: opening.identity.principal,
      target: opening.target,
      ...session,
      submit: ((
        operation: Operation,
        circumstances = {},
        enforce?: (decision: Decision) => Enforced | Promise<Enforced>,
      ) => {
        const judged = session.decide(operation, circumstances);
        // What was given is used up.
        const decision = judged.outcome === 'hold' && given.delete(operation.hash) ? approved(judged) : judged;
        const finish = ({ refusal }: Enforced) => {
          if (refusal !== undefined) return submission(deny(refusal.code, decision.revision, refusal.message));
          if (decision.outcome !== 'hold' || operation.stage !== 'execute') return submission(decision);
          return submission(decision, ask(operation, decision, given));
        };
        if (enforce === undefined || decision.outcome === 'deny') return finish({});
        const enforced = enforce(decision);
        return enforced instanceof Promise ? enforced.then(finish) : finish(enforced);
      }) as Session['submit'],
      claim: () => undefined,
      masks: () => false,
      policyReads: () => false,
      onEnd: (listener) => ends.push(listener),
      close: () => undefined,
    };
  };

  const listener = await postgres.listen(
    { host: '127.0.0.1', port: 0 },
    {
      log: pino({ level: 'silent' }),
      identify: () => Promise.resolve({ principal: inputOf().principal, expires_ms: Date.now() + 3_600_000 }),
      target: (_protocol, name) => ({
        input: { name, protocol: 'postgres', labels: {} },
        upstream: {
          host: relay.host,
          port: relay.port,
          database: database.database,
          user: database.user,
          password: database.password,
          tls: { mode: 'disable' },
        },
      }),
      openSession,
      keep: (_name, make) => Promise.resolve(make()),
      kept: () => Promise.resolve([]),
    },
  );
  return {
    address: listener.address,
    open: () => WireClient.open({ ...listener.address, user: 'agent', database: 'orders', password: 'a token' }),
    asked: () => {
      const asked = queue.shift();
      return asked === undefined ? new Promise((resolve) => waiters.push(resolve)) : Promise.resolve(asked);
    },
    get requests() {
      return requests;
    },
    sent: (text) => relay.heard.some((bytes) => bytes.includes(text)),
    kill: () => {
      for (const end of ends.splice(0)) end({ code: 'killed', message: 'terminating connection: killed' });
    },
    close: async () => {
      await listener.close();
      await relay.close();
    },
  };
}
