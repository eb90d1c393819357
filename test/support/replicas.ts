import type { Identity } from '../../gateway/protocol.js';
import type { AnswerInput, ApprovalRequest, Approvers } from '../../gateway/approvals/index.js';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from './gateway.js';
import { createDatabase, type TestDatabase } from './postgres.js';

/** Gateways that share one state, and what people do at either. */
export interface Replicas {
  readonly state: TestDatabase;
  readonly gateways: readonly TestGateway[];
  /** One more, which finds the state as it is. */
  add(): Promise<TestGateway>;
  close(): Promise<void>;
}

export async function startReplicas(count: number, options: TestGatewayOptions): Promise<Replicas> {
  const state = await createDatabase();
  const gateways: TestGateway[] = [];
  const close = async () => {
    await Promise.all(gateways.map((gateway) => gateway.close()));
    await state.drop();
  };
  try {
    const config = { ...options.config, state: { directory: './.sallyport', postgres: state.url } };
    const add = async () => {
      const made = await startTestGateway({ ...options, config });
      gateways.push(made);
      await made.gateway.database.ready(20_000);
      return made;
    };
    // At once: of those that find an empty database, one migrates it and the others wait.
    await Promise.all(Array.from({ length: count }, add));
    return { state, gateways, add, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Resolves once `look` finds something; it looks again after each event of approvals. */
export async function whenAsked<T>(approvers: Approvers, look: () => Promise<T | undefined>): Promise<T> {
  let told: () => void = () => undefined;
  const stop = approvers.subscribe(() => told());
  try {
    for (;;) {
      const event = new Promise<void>((resolve) => (told = resolve));
      const found = await look();
      if (found !== undefined) return found;
      await event;
    }
  } finally {
    stop();
  }
}

/** The oldest request that waits, once one does. */
export const whenWaiting = (approvers: Approvers, apart: readonly string[] = []): Promise<ApprovalRequest> =>
  whenAsked(approvers, async () =>
    (await approvers.list({ status: 'waiting' })).filter(({ id }) => !apart.includes(id)).at(-1),
  );

export const whenEnded = (approvers: Approvers, id: string): Promise<ApprovalRequest> =>
  whenAsked(approvers, async () => {
    const request = await approvers.get(id);
    return request?.status === 'waiting' ? undefined : request;
  });

export const person = (issuer: string, subject: string, ...groups: string[]): Identity => ({
  principal: {
    subject,
    issuer,
    kind: 'human',
    groups,
    roles: [],
    attributes: {},
    token: { expires: new Date(Date.now() + 600_000).toISOString() },
  },
  expires_ms: Date.now() + 600_000,
});

export const approve: AnswerInput = { kind: 'approve', through: 'api' };
export const refuse: AnswerInput = { kind: 'refuse', comment: 'not tonight', through: 'api' };
