import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';

/** A database with something in it, and a gateway before it that allows everything. */
export interface World {
  readonly database: TestDatabase;
  readonly gateway: TestGateway;
  close(): Promise<void>;
}

export async function openWorld(): Promise<World> {
  const database = await createDatabase({ sql: readFileSync(join(import.meta.dirname, 'schema.sql'), 'utf8') });
  const gateway = await startTestGateway({ database }).catch(async (error: unknown) => {
    await database.drop();
    throw error;
  });
  return {
    database,
    gateway,
    async close() {
      await gateway.close();
      await database.drop();
    },
  };
}
