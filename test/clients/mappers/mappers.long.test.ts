import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { join } from 'node:path';
import { clientTest } from '../support.js';
import { asSeen, behindMasks, openShop, type Shop } from './world.js';

const group = 'object mappers, through a gateway that masks,';
const here = (name: string) => join(import.meta.dirname, name);

describe(group, () => {
  let shop: Shop;

  beforeAll(async () => {
    shop = await openShop();
  });
  afterAll(() => shop?.close());

  function mapper(
    name: string,
    client: string,
    command: string,
    parameters: (packages: string) => readonly string[],
    timeout_ms?: number,
  ) {
    const title = `${name} gets what the server gives it, but for masked cells`;
    const run = async () => {
      const { direct, through } = await shop.check(client, command, parameters);
      const failed = Object.entries(direct).filter(([, result]) => Object.hasOwn(Object(result) as object, 'failed'));
      expect({ failed, through: asSeen(through) }).toEqual({ failed: [], through: behindMasks(direct) });
    };
    clientTest(group, title, run, timeout_ms);
  }

  mapper('Drizzle', 'mappers', 'node', () => [here('drizzle.mjs')]);
  mapper('Knex', 'mappers', 'node', () => [here('knex.mjs')]);
  mapper('TypeORM', 'mappers', 'node', () => [here('typeorm.mjs')]);
  mapper('Sequelize', 'mappers', 'node', () => [here('sequelize.mjs')]);
  mapper('Prisma', 'prisma', 'node', () => [here('prisma.mjs')]);
  mapper('SQLAlchemy', 'python-mappers', 'python3', () => [here('sqlalchemy_check.py')]);
  // Java compiles the check each time before it runs it: seconds on an idle machine, minutes on a busy one.
  mapper('Hibernate', 'hibernate', 'java', (jars) => ['-cp', jars, here('HibernateCheck.java'), 'update'], 900_000);
  mapper('Django', 'python-mappers', 'python3', () => [here('django_check.py')]);
});
