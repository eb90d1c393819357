import type { ApprovalRequest } from '../../gateway/approvals/index.js';
import { openApi, type ApiClient } from '../../gateway/cli/api/client.js';

/** The owner of the shop, who answers over the API as a person does with `sallyport approvals`. */
export interface Approver {
  /** The request that waits, once it says what the operation does. */
  waiting(): Promise<ApprovalRequest>;
  approve(id: string, comment: string): Promise<void>;
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
  return {
    async waiting() {
      const asked = await api();
      const look = async () =>
        (await asked.get<{ approvals: ApprovalRequest[] }>('/v1/approvals')).approvals.find(
          ({ effect }) => effect !== undefined,
        );
      let known: ApprovalRequest | undefined;
      // What came before the stream is open stands in the list; what comes after is told by it.
      const events = asked.events();
      try {
        while ((known = await look()) === undefined) {
          if ((await events.next()).done === true) throw new Error('the gateway ended the stream of events');
        }
        return known;
      } finally {
        await events.return();
      }
    },
    async approve(id, comment) {
      await (await api()).post(`/v1/approvals/${id}/approve`, { comment });
    },
  };
}

const silent = { write: () => true };
