import type { BlockList } from 'node:net';
import Type from 'typebox';
import { ConfigError } from '../../../errors.js';
import { reachOf, readNetworks } from './addresses.js';
import { isAddress, readNamed, type NamedHost } from './hosts.js';

/** `upstream.egress`: what of a target is reached through the egress proxy, and how. */

export interface Egress {
  readonly hosts: readonly NamedHost[];
  /** Where names may lead beside the internet. */
  readonly networks: BlockList;
  /** Whether what is said in its tunnels is judged, request by request. */
  readonly intercept: boolean;
}

const hosts_max = 1_000;
const networks_max = 100;

export const EgressSchema = Type.Object(
  {
    hosts: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 270 }), {
        minItems: 1,
        maxItems: hosts_max,
        uniqueItems: true,
        description: 'HOST, *.HOST or *, with :PORT where it is not 443. Absent: the host of url.',
      }),
    ),
    addresses: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        maxItems: networks_max,
        uniqueItems: true,
        description: 'Networks beside the internet that these names may lead to: 10.1.0.0/16.',
      }),
    ),
    intercept: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Judge each request in its tunnels, as below /http/: with a certificate by listen.egress.authority.',
      }),
    ),
  },
  {
    additionalProperties: false,
    title: '{hosts: […], addresses: […], intercept: …}',
    description: 'What is reached through listen.egress. Absent: nothing.',
  },
);

export type EgressForm = Type.Static<typeof EgressSchema>;

/** @param url The one host of a target that has a URL. Throws ConfigError. */
export function readEgress(
  { hosts, addresses = [], intercept = false }: EgressForm,
  url: NamedHost | undefined,
): Egress {
  if ((hosts === undefined) === (url === undefined)) {
    throw new ConfigError(
      url === undefined
        ? 'egress.hosts is missing: without url, it names what is reached'
        : 'egress.hosts: a target with url is reached at the host of its url alone; take url or hosts away',
    );
  }
  if (url !== undefined) refuseNever(url);
  if (intercept && url === undefined) {
    throw new ConfigError('egress.intercept: what is looked into is the API at a url; name that instead of hosts');
  }
  if (intercept && addresses.length > 0) {
    throw new ConfigError(
      'egress.addresses has no use with intercept: requests go to the host of url, wherever its name leads',
    );
  }
  return { hosts: url === undefined ? (hosts ?? []).map(named) : [url], networks: readNetworks(addresses), intercept };
}

function named(text: string): NamedHost {
  const host = readNamed(text);
  if (host === undefined) {
    throw new ConfigError(
      `egress.hosts: "${text}" is no host; write HOST, *.HOST or *, with :PORT where it is not 443, and no https://`,
    );
  }
  refuseNever(host);
  return host;
}

function refuseNever({ host }: NamedHost): void {
  if (!isAddress(host) || reachOf(host) !== 'never') return;
  throw new ConfigError(
    `egress: nobody is let to ${host}: such addresses are of one link, or hand out a cloud's credentials`,
  );
}
