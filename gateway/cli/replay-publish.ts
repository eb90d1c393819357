import { publishable, type Report } from '../replay/index.js';
import { gatewayAddress, type GatewayFlags } from './api/address.js';
import { apiAt, Refused, tokenFor, Unreachable, type ApiClient } from './api/client.js';
import { printableLine } from './printable.js';
import type { Surroundings } from './surroundings.js';

export interface Publisher {
  readonly url: string;
  readonly api: ApiClient;
}

/** Rejects with ConfigError where it is not said who publishes, or where. */
export async function publisherOf(flags: GatewayFlags, around: Surroundings): Promise<Publisher> {
  const place = await gatewayAddress(flags, around);
  return { url: place.url, api: apiAt(place, await tokenFor(place, flags, around)) };
}

/** False where the gateway did not take it; why stands on standard error. */
export async function publish(
  { url, api }: Publisher,
  report: Report,
  revisions: { readonly before: string; readonly after: string },
  { stderr }: Surroundings,
): Promise<boolean> {
  const published = publishable(report, revisions);
  try {
    const { id } = await api.post<{ id: string }>('/v1/replays', published);
    const { groups, texts } = published.shortened;
    if (groups + texts > 0)
      stderr.write(`published shortened: without ${groups} kinds of difference and the ends of ${texts} texts\n`);
    stderr.write(`published at ${url}/console/#/replays/${printableLine(String(id))}\n`);
    return true;
  } catch (error) {
    if (!(error instanceof Refused) && !(error instanceof Unreachable)) throw error;
    stderr.write(`sallyport: not published: ${error.message}\n`);
    return false;
  }
}
