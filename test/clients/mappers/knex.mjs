import { load, place, run } from './steps.mjs';

const knex = load('knex')({ client: 'pg', connection: place, pool: { min: 0, max: 2 } });

await run({
  'select all': () => knex('customers').orderBy('id'),
  first: () => knex('customers').where({ id: 3 }).first('id', 'email', 'balance'),
  'a page with a total': () =>
    knex('customers').select('*', knex.raw('count(*) over () as rows')).orderBy('id').limit(4).offset(8),
  joins: () =>
    knex('orders as o')
      .join('customers as c', 'c.id', 'o.customer_id')
      .leftJoin('order_lines as l', 'l.order_id', 'o.id')
      .where('o.total', '>', 550)
      .select('o.id', 'l.line_no', 'c.email as customer_email', 'c.ssn')
      .orderBy(['o.id', 'l.line_no']),
  aggregates: () =>
    knex('orders').groupBy('status').select('status').sum('total as sum').max('placed as last').orderBy('status'),
  'sub-queries and whereExists': () =>
    knex('customers as c')
      .whereExists(knex('orders').whereRaw('customer_id = c.id').where('status', 'paid'))
      .whereIn('region', knex('customers').distinct('region'))
      .orderBy('c.id')
      .select('c.*'),
  'with recursive': () =>
    knex
      .withRecursive('n', knex.raw('select 1 as n union all select n + 1 from n where n < 4'))
      .select('n.n', 'c.email')
      .from('n')
      .join('customers as c', 'c.id', 'n.n')
      .orderBy('n.n'),
  'window functions': () =>
    knex('orders').select('id').rowNumber('place', 'total', 'customer_id').where('customer_id', '<', 4).orderBy('id'),
  'json and arrays': () =>
    knex('customers')
      .whereJsonPath('preferences', '$.size', '>', 20)
      .whereRaw(`labels @> ?`, [['all']])
      .orderBy('id'),
  'insert, returning': () =>
    knex('customers').insert({ name: 'Knex', email: 'knex@example.com', born: '2000-01-01', balance: 4321.5 }, [
      'id',
      'name',
      'email',
      'born',
      'balance',
    ]),
  batch: async () =>
    (
      await knex
        .batchInsert(
          'tags',
          Array.from({ length: 25 }, (_, n) => ({ label: `knex ${n}` })),
          10,
        )
        .returning('label')
    ).length,
  'update, returning': () => knex('customers').where({ name: 'Knex' }).update({ region: 'US' }).returning('*'),
  increment: () => knex('tags').where('label', 'knex 1').increment('uses', 5).returning(['label', 'uses']),
  upsert: () =>
    knex('tags').insert({ label: 'knex 2', uses: 3 }).onConflict('label').merge().returning(['label', 'uses']),
  'upsert of some': () =>
    knex('customers')
      .insert({ id: 2, name: 'Other', email: 'o@example.com' })
      .onConflict('id')
      .merge(['name'])
      .returning('*'),
  'a transaction with savepoints': () =>
    knex.transaction(async (trx) => {
      const [{ id }] = await trx('orders').insert({ customer_id: 1, placed: '2026-10-10' }, 'id');
      await trx
        .transaction(async (inner) => {
          await inner('orders').where({ id }).delete();
          throw new Error('undo');
        })
        .catch(() => undefined);
      return trx('orders')
        .join('customers', 'customers.id', 'orders.customer_id')
        .where('orders.id', id)
        .first('placed', 'email');
    }),
  locks: () => knex.transaction((trx) => trx('customers').where({ id: 5 }).forUpdate().skipLocked()),
  raw: async () => (await knex.raw('select email, ?::int as n from customers where id = ?', [7, 8])).rows,
  schema: async () => {
    await knex.schema.createTable('knexed', (table) => {
      table.increments();
      table.integer('customer_id').references('id').inTable('customers').onDelete('CASCADE');
      table.string('note').defaultTo('x').index();
      table.timestamp('at', { useTz: true });
      table.unique(['customer_id', 'note']);
    });
    await knex.schema.alterTable('knexed', (table) => {
      table.text('more').nullable();
      table.renameColumn('note', 'remark');
      table.dropColumn('at');
    });
    await knex('knexed').insert({ customer_id: 1 });
    return [
      await knex.schema.hasTable('knexed'),
      await knex.schema.hasColumn('customers', 'ssn'),
      await knex('customers').columnInfo(),
      await knex('knexed').columnInfo(),
      await knex('knexed'),
    ];
  },
  migrations: async () => {
    const source = {
      getMigrations: async () => ['one', 'two'],
      getMigrationName: (name) => name,
      getMigration: async (name) => ({
        up: (trx) => trx.schema.createTable(`knexed_${name}`, (table) => table.increments()),
        down: (trx) => trx.schema.dropTable(`knexed_${name}`),
      }),
    };
    const [, up] = await knex.migrate.latest({ migrationSource: source });
    const [, down] = await knex.migrate.rollback({ migrationSource: source });
    return [up, down, (await knex.migrate.list({ migrationSource: source }))[0].length];
  },
  delete: () => knex('customers').where('name', 'Knex').delete().returning('email'),
});
await knex.destroy();
