import type { Client, Prompt, Target } from '../../../protocol.js';
import { promptOf, RequestRefusal, type Fields, type SignedIn } from '../../../web/index.js';
import type { Addressed } from '../codec.js';
import type { HttpUpstream } from '../config.js';
import { HttpExchange, type Asked, type HttpParts } from '../exchange.js';
import { writePlace, type Place } from './hosts.js';

/** A request inside a tunnel that the proxy looks into. It is asked for by whoever asked for the tunnel, of the tunnel's place alone. */

/** Of a tunnel: what its requests take from its CONNECT. */
export interface Insider {
  readonly presented: SignedIn;
  readonly client: Client;
  readonly place: Place;
  readonly target: Target;
  readonly prompt: Prompt | undefined;
  /** The tunnel's own decision. */
  readonly decision: string;
}

export class InterceptedExchange extends HttpExchange {
  readonly #insider: Insider;

  constructor(
    request: HttpExchange['request'],
    response: HttpExchange['response'],
    parts: HttpParts & { readonly insider: Insider },
  ) {
    super(request, response, parts);
    this.#insider = parts.insider;
    this.target = parts.insider.target.input.name;
  }

  protected override get client(): Client {
    return this.#insider.client;
  }

  protected override get within(): string {
    return this.#insider.decision;
  }

  protected override async asked(seen: Fields): Promise<Asked> {
    const { place, presented } = this.#insider;
    const host = seen.all.get('host')?.toLowerCase();
    if (host !== writePlace(place) && !(place.port === 443 && host === writePlace(place).slice(0, -':443'.length))) {
      throw new RequestRefusal(
        421,
        'host_mismatch',
        `the field Host names another place than the tunnel: ${writePlace(place)}`,
      );
    }
    const target = this.find(this.target);
    const upstream = target.upstream as HttpUpstream;
    if (upstream.egress?.intercept !== true || upstream.host !== place.host || upstream.port !== place.port) {
      throw new RequestRefusal(
        421,
        'other_target',
        'the configuration names another place by now: open another tunnel',
      );
    }
    // Without its own field: what the client sends by Authorization is for the API.
    return {
      address: below(this.request.url ?? '', upstream.base, this.target),
      presented: { ...presented, field: '' },
      target,
      upstream,
    };
  }

  /** The client is at the API's own places. */
  protected override placed(location: string): string {
    return location;
  }

  protected override prompt(fields: Fields): Prompt | undefined {
    return promptOf(fields.all) ?? this.#insider.prompt;
  }
}

/** The request's target behind what the API's URL begins with, letter by letter. Throws RequestRefusal. */
function below(raw: string, base: string, target: string): Addressed {
  if (!raw.startsWith('/')) {
    throw new RequestRefusal(400, 'path_form', 'inside a tunnel, ask for a path: "GET /path"');
  }
  if (raw.includes('#')) throw new RequestRefusal(400, 'path_form', 'the request has a fragment ("#")');
  const mark = raw.indexOf('?');
  const path = mark < 0 ? raw : raw.slice(0, mark);
  if (path !== base && !path.startsWith(`${base}/`)) {
    throw new RequestRefusal(403, 'outside_base', `the target is what lies below ${base}/`);
  }
  return { target, path: path.slice(base.length), query: mark < 0 ? '' : raw.slice(mark + 1) };
}
