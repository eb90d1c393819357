import type { DataChecks } from '../bundles/index.js';
import type { Protocol } from './protocol.js';
import { http } from './protocols/http/index.js';
import { kubernetes } from './protocols/kubernetes/index.js';
import { mcp } from './protocols/mcp/index.js';
import { postgres } from './protocols/postgres/index.js';
import { registry } from './protocols/registry/index.js';
import { ssh } from './protocols/ssh/index.js';
import { programFaults, programsData } from './shell/index.js';

/** Every protocol that ships: one row, one folder, one Rego package. */
export const protocols: readonly Protocol[] = [postgres, ssh, http, kubernetes, registry, mcp];

/** How the build of a policy looks at members of its data that the gateway goes by. */
export const dataChecks: DataChecks = new Map([[programsData, programFaults]]);

/** How the build of a policy looks at filters, by protocol. */
export const filterChecks: ReadonlyMap<string, NonNullable<Protocol['filterProblem']>> = new Map(
  protocols.flatMap(({ name, filterProblem }) => (filterProblem === undefined ? [] : [[name, filterProblem] as const])),
);
