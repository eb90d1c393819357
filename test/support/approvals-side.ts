import { createEngine, type Decision, type Input } from '../../engine/index.js';
import { pino } from 'pino';
import { openApprovals, type OpenedApprovals } from '../../gateway/approvals/index.js';
import type { Audit, Entry } from '../../gateway/audit/record.js';
import type { Identity } from '../../gateway/protocol.js';
import { openDatabase, type Database } from '../../gateway/state/database.js';
import { givenHome } from '../../gateway/state/home.js';
import { openReplica, type Replica } from '../../gateway/state/replica.js';
import { inputOf, layerOf } from './policy.js';
import type { TestDatabase } from './postgres.js';

/** One replica as far as approvals go, over a database that several may share. */
export interface Side extends OpenedApprovals {
  readonly database: Database;
  readonly replica: Replica;
  readonly audit: Audit;
  readonly records: Entry[];
  stop(): Promise<void>;
}

export function openSide({ host, port, database: name, user, password }: TestDatabase): Side {
  const log = pino({ level: 'silent' });
  const database = openDatabase({ home: givenHome({ host, port, database: name, user, password }), log });
  const replica = openReplica({ database, log });
  const records: Entry[] = [];
  const audit: Audit = {
    write: (entry: Entry, options?: { durable?: boolean }) => {
      records.push(entry);
      return (options?.durable === true ? Promise.resolve() : undefined) as never;
    },
    written: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const limits = { waiting_max: 2_000, per_principal_max: 2_000, receipt_ms: 60_000, preview_ms: 60_000 };
  const opened = openApprovals({ database, replica, audit, log, recordedHash: (hash) => hash, ...limits });
  return {
    ...opened,
    database,
    replica,
    audit,
    records,
    async stop() {
      await opened.close();
      await replica.close();
      await database.close();
    },
  };
}

/** Judges by a policy of which everything is allowed, and waits as its `approval` says. */
export async function judging(approval: string): Promise<(input: Input) => Decision> {
  const engine = createEngine();
  const policy = `package policy.postgres\n\nallow contains {"code": "all"} if input.version == 1\n\napproval contains ${approval}\n`;
  engine.activate(await engine.prepare('git:1', [await layerOf(policy)]));
  return (input) => engine.decide(input);
}

export const person = (subject: string, ...groups: string[]): Identity => ({
  principal: { ...inputOf().principal, subject, kind: 'human', groups },
  expires_ms: Date.now() + 60_000,
});

export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}
