import { load, place, run } from './steps.mjs';

load('reflect-metadata');
const { DataSource, EntitySchema, ILike, In, MoreThan, Table, TableIndex } = load('typeorm');

const number = { type: 'int', primary: true };
const generated = { type: 'int', primary: true, generated: 'identity', generatedIdentity: 'BY DEFAULT' };
const Customer = new EntitySchema({
  name: 'Customer', tableName: 'customers',
  columns: {
    id: generated, name: { type: 'text' }, email: { type: 'varchar', length: 120, nullable: true, unique: true }, ssn: { type: 'text', nullable: true },
    born: { type: 'date', nullable: true }, balance: { type: 'numeric', precision: 12, scale: 2, default: 0 }, region: { type: 'text', default: 'EU' },
    preferences: { type: 'jsonb', default: {} }, labels: { type: 'text', array: true, default: [] },
  },
  relations: {
    orders: { type: 'one-to-many', target: 'Order', inverseSide: 'customer' },
    tags: { type: 'many-to-many', target: 'Tag', joinTable: { name: 'customer_tags', joinColumn: { name: 'customer_id' }, inverseJoinColumn: { name: 'tag_id' } } },
  },
}); // prettier-ignore
const Order = new EntitySchema({
  name: 'Order', tableName: 'orders',
  columns: { id: generated, placed: { type: 'date' }, status: { type: 'enum', enum: ['open', 'paid', 'shipped'], enumName: 'status', default: 'open' }, total: { type: 'numeric', precision: 12, scale: 2, default: 0 } },
  relations: {
    customer: { type: 'many-to-one', target: 'Customer', inverseSide: 'orders', joinColumn: { name: 'customer_id' }, onDelete: 'CASCADE' },
    lines: { type: 'one-to-many', target: 'Line', inverseSide: 'order', cascade: true },
  },
}); // prettier-ignore
const Line = new EntitySchema({
  name: 'Line', tableName: 'order_lines',
  columns: { orderId: { ...number, name: 'order_id' }, lineNo: { ...number, name: 'line_no' }, product: { type: 'text' }, quantity: { type: 'int' } },
  relations: { order: { type: 'many-to-one', target: 'Order', inverseSide: 'lines', joinColumn: { name: 'order_id' } } },
}); // prettier-ignore
const Tag = new EntitySchema({ name: 'Tag', tableName: 'tags', columns: { id: generated, label: { type: 'text', unique: true }, uses: { type: 'int', default: 0 } } }); // prettier-ignore

const db = new DataSource({ type: 'postgres', host: place.host, port: place.port, username: place.user, password: place.password, database: place.database, entities: [Customer, Order, Line, Tag], migrationsTableName: 'typeorm_migrations' }); // prettier-ignore
await db.initialize();
const customers = db.getRepository('Customer');
const orders = db.getRepository('Order');
const tags = db.getRepository('Tag');

await run({
  find: () => customers.find({ order: { id: 'ASC' } }),
  'find by': () =>
    customers.find({ where: { region: In(['EU', 'US']), name: ILike('customer 2%') }, order: { id: 'DESC' } }),
  'a page with a total, over relations': () =>
    customers.findAndCount({
      relations: { orders: { lines: true }, tags: true },
      order: { id: 'ASC', orders: { id: 'ASC', lines: { lineNo: 'ASC' } }, tags: { id: 'ASC' } },
      skip: 2,
      take: 3,
    }),
  'relations by queries': () =>
    customers.find({
      relations: { orders: true },
      relationLoadStrategy: 'query',
      where: { id: In([1, 2]) },
      order: { id: 'ASC', orders: { id: 'ASC' } },
    }),
  'through a relation': () =>
    orders.find({
      where: { customer: { region: 'EU' }, total: MoreThan(300) },
      relations: { customer: true },
      order: { id: 'ASC' },
    }),
  'query builder': () =>
    customers
      .createQueryBuilder('c')
      .innerJoinAndSelect('c.orders', 'o', 'o.total > :least', { least: 400 })
      .leftJoinAndSelect('o.lines', 'l')
      .orderBy({ 'c.id': 'ASC', 'o.id': 'ASC', 'l.lineNo': 'ASC' })
      .take(4)
      .getManyAndCount(),
  'raw and entities': () =>
    customers
      .createQueryBuilder('c')
      .addSelect('upper(c.name)', 'loud')
      .where('c.id < 4')
      .orderBy('c.id')
      .getRawAndEntities(),
  aggregates: () =>
    orders
      .createQueryBuilder('o')
      .select('o.status', 'status')
      .addSelect('SUM(o.total)', 'sum')
      .groupBy('o.status')
      .orderBy('o.status')
      .getRawMany(),
  'sub-query': () =>
    customers
      .createQueryBuilder('c')
      .where(
        (query) =>
          `c.id IN ${query.subQuery().select('o.customer_id').from('orders', 'o').where('o.total > 580').getQuery()}`,
      )
      .orderBy('c.id')
      .getMany(),
  'count, exists, sum': async () => [
    await customers.count(),
    await customers.existsBy({ id: 1 }),
    await orders.sum('total', { status: 'paid' }),
  ],
  save: async () => {
    const values = { name: 'TypeORM', email: 'typeorm@example.com', preferences: { x: 1 }, labels: ['a'] };
    const { id } = await customers.save(values);
    return customers.findOneBy({ id });
  },
  'save with cascade': async () => {
    const saved = await orders.save({
      customer: { id: 1 },
      placed: '2026-12-03',
      lines: [
        { lineNo: 1, product: 'p', quantity: 1 },
        { lineNo: 2, product: 'q', quantity: 2 },
      ],
    });
    return orders.findOne({ where: { id: saved.id }, relations: { lines: true, customer: true } });
  },
  'change and save': async () => {
    const found = await customers.findOneByOrFail({ name: 'TypeORM' });
    found.region = 'AP';
    await customers.save(found);
    return customers.findOneBy({ id: found.id });
  },
  'update, increment, upsert': async () => {
    await tags.insert([{ label: 'typeorm 1' }, { label: 'typeorm 2' }]);
    await tags.update({ label: 'typeorm 1' }, { uses: 4 });
    await tags.increment({ label: 'typeorm 1' }, 'uses', 2);
    await tags.upsert(
      [
        { label: 'typeorm 1', uses: 11 },
        { label: 'typeorm 3', uses: 1 },
      ],
      ['label'],
    );
    return (await tags.find({ where: { label: ILike('typeorm%') }, order: { label: 'ASC' } })).map(
      ({ label, uses }) => [label, uses],
    );
  },
  'update, returning': async () =>
    (
      await db
        .createQueryBuilder()
        .update('Customer')
        .set({ name: 'TypeORM!' })
        .where('name = :name', { name: 'TypeORM' })
        .returning('*')
        .execute()
    ).raw,
  'many to many': async () => {
    const found = await customers.findOne({
      where: { id: 7 },
      relations: { tags: true },
      order: { tags: { id: 'ASC' } },
    });
    const before = found.tags.map(({ label }) => label);
    found.tags.push(await tags.findOneBy({ label: 'typeorm 2' }));
    await customers.save(found);
    return [before, (await db.createQueryBuilder().relation('Customer', 'tags').of(7).loadMany()).length];
  },
  'a transaction': async () => {
    await db
      .transaction('SERIALIZABLE', async (manager) => {
        await manager.delete('Line', { orderId: 4 });
        await manager.findOne('Customer', { where: { id: 4 }, lock: { mode: 'pessimistic_write' } });
        await manager.transaction((inner) => inner.update('Order', { id: 4 }, { total: 1 }));
        throw new Error('undo');
      })
      .catch((error) => {
        if (error.message !== 'undo') throw error;
      });
    return db.getRepository('Line').countBy({ orderId: 4 });
  },
  raw: () => db.query('select id, email, born from customers where id = $1', [9]),
  'a stream': async () => {
    const rows = [];
    const runner = db.createQueryRunner();
    await runner.startTransaction();
    for (const row of await runner.query('select id, ssn from customers order by id limit 2')) rows.push(row);
    await runner.commitTransaction();
    await runner.release();
    return rows;
  },
  introspection: async () => {
    const runner = db.createQueryRunner();
    const table = await runner.getTable('customers');
    const views = await runner.getViews();
    await runner.release();
    return [
      table.columns.map(({ name, type, isNullable, default: value }) => [name, type, isNullable, value ?? null]),
      table.uniques.map(({ columnNames }) => columnNames),
      views.length,
    ];
  },
  'what a migration would do': async () =>
    (await db.driver.createSchemaBuilder().log()).upQueries.map(({ query }) => query),
  migrations: async () => {
    const runner = db.createQueryRunner();
    await runner.createTable(
      new Table({
        name: 'typeormed',
        columns: [
          { name: 'id', type: 'serial', isPrimary: true },
          { name: 'customer_id', type: 'int', isNullable: true },
          { name: 'note', type: 'text', default: "'x'" },
        ],
        foreignKeys: [
          { columnNames: ['customer_id'], referencedTableName: 'customers', referencedColumnNames: ['id'] },
        ],
      }),
      true,
    );
    await runner.createIndex('typeormed', new TableIndex({ columnNames: ['note'] }));
    await runner.renameColumn('typeormed', 'note', 'remark');
    await runner.query('insert into typeormed (customer_id) values (1)');
    const rows = await runner.query('select * from typeormed');
    await runner.dropTable('typeormed');
    await runner.release();
    return rows;
  },
  delete: async () => (await customers.delete({ name: 'TypeORM!' })).affected,
});
await db.destroy();
