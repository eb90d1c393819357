import type { ApprovalRequest } from '../../gateway/approvals/index.js';
import { openApi, type ApiClient } from '../../gateway/cli/api/client.js';

/** The owner of the shop, who answers over the API as a person does with `sallyport approvals`. */
export interface Approver {
  /** The request that waits, once it says what the operation does. */
  waiting(): Promise<ApprovalRequest>;
  approve(id: string, comment: string): Promise<void>;
  /** How the request ended, once somebody has answered it, or nobody in time. */
  ended(id: string): Promise<ApprovalRequest['status']>;
}

export interface ApproverPlace {
  /** https://host:port */
  readonly gateway: string;
  /** Who vouches for its certificate, PEM. */
  readonly ca: string;
  token(): Promise<string>;
}

export function createApprover(place: ApproverPlace): Approver {
  const { gateway, ca } = place;
  const api = async (): Promise<ApiClient> => {
    const env = { SALLYPORT_TOKEN: await place.token() };
    return openApi({ gateway, ca }, { env, fallbackFolder: '.', stdout: silent, stderr: silent });
  };
  /** Looks until there is something to be seen, again with every event. */
  async function once<T>(look: (asked: ApiClient) => Promise<T | undefined>): Promise<T> {
    const asked = await api();
    // What came before the stream is open is seen by a look; what comes after is told by it.
    const events = asked.events();
    try {
      for (;;) {
        const known = await look(asked);
        if (known !== undefined) return known;
        if ((await events.next()).done === true) throw new Error('the gateway ended the stream of events');
      }
    } finally {
      await events.return();
    }
  }
  return {
    waiting: () =>
      once(async (asked) => {
        const { approvals } = await asked.get<{ approvals: ApprovalRequest[] }>('/v1/approvals');
        return approvals.find(({ effect }) => effect !== undefined);
      }),
    ended: (id) =>
      once(async (asked) => {
        const { status } = await asked.get<ApprovalRequest>(`/v1/approvals/${id}`);
        return status === 'waiting' ? undefined : status;
      }),
    async approve(id, comment) {
      await (await api()).post(`/v1/approvals/${id}/approve`, { comment });
    },
  };
}

const silent = { write: () => true };
