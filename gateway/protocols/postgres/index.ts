import type { ListenAddress, Protocol, Services } from '../../protocol.js';
import { PostgresUpstreamSchema, type PostgresUpstream } from './config.js';
import { listen, type MakeInterpreter } from './listener.js';
import { connectOperation } from './operation.js';
import { PostgresOperationSchema } from './schema.js';
import { filterProblem } from './sql/masks/filter.js';
import { createInterpreter, loadParser, SharedCatalog } from './judging/interpreter.js';

export type { PostgresUpstream } from './config.js';

/** Databases of which names are remembered at once; beyond that, the one unused longest is asked anew. */
const catalogs_max = 256;

export const postgres = {
  name: 'postgres',
  upstreamSchema: PostgresUpstreamSchema,
  operationSchema: PostgresOperationSchema,
  actions: ['connect', 'session', 'read', 'write', 'delete', 'execute', 'transfer', 'define', 'administer'],
  firstSteps(upstream: unknown) {
    const { database, user } = upstream as PostgresUpstream;
    return [connectOperation({ database, user }, new Map())];
  },
  async filterProblem(where: string, resource: string | undefined) {
    await loadParser();
    return filterProblem(where, resource);
  },
  async listen(address: ListenAddress, services: Services) {
    await loadParser();
    const catalogs = new Map<string, SharedCatalog>();
    const makeInterpreter: MakeInterpreter = (target, place, ask) => {
      const key = JSON.stringify([target, place.database, place.user]);
      const shared = catalogs.get(key) ?? new SharedCatalog();
      catalogs.delete(key);
      catalogs.set(key, shared);
      if (catalogs.size > catalogs_max) {
        const [oldest] = catalogs.keys();
        catalogs.delete(oldest!);
      }
      return createInterpreter({ shared, ask, database: place.database, user: place.user });
    };
    return listen(address, services, makeInterpreter);
  },
} satisfies Protocol;
