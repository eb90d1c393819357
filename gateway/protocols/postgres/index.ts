import type { Protocol } from '../../protocol.js';
import { PostgresUpstreamSchema } from './config.js';
import { listen, type MakeInterpreter } from './listener.js';
import { PostgresOperationSchema } from './schema.js';
import { filterProblem } from './sql/masks/filter.js';
import { createInterpreter, loadParser, SharedCatalog } from './judging/interpreter.js';

export type { PostgresUpstream } from './config.js';

/** Databases of which names are remembered at once; beyond that, the one unused longest is asked anew. */
const catalogs_max = 256;

export const postgres: Protocol = {
  name: 'postgres',
  upstreamSchema: PostgresUpstreamSchema,
  operationSchema: PostgresOperationSchema,
  async filterProblem(where, resource) {
    await loadParser();
    return filterProblem(where, resource);
  },
  async listen(address, services) {
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
};
