import { load, place, run } from './steps.mjs';

const { DataTypes, Op, Sequelize, col, fn, literal } = load('sequelize');
const db = new Sequelize(place.database, place.user, place.password, { host: place.host, port: place.port, dialect: 'postgres', logging: false, pool: { max: 2 }, define: { timestamps: false } }); // prettier-ignore

const Customer = db.define('customer', { name: DataTypes.TEXT, email: DataTypes.STRING(120), ssn: DataTypes.TEXT, born: DataTypes.DATEONLY, balance: DataTypes.DECIMAL(12, 2), region: DataTypes.TEXT, preferences: DataTypes.JSONB, labels: DataTypes.ARRAY(DataTypes.TEXT) }, { tableName: 'customers' }); // prettier-ignore
const Order = db.define('order', { customer_id: DataTypes.INTEGER, placed: DataTypes.DATEONLY, status: DataTypes.ENUM('open', 'paid', 'shipped'), total: DataTypes.DECIMAL(12, 2) }, { tableName: 'orders' }); // prettier-ignore
const Line = db.define('line', { order_id: { type: DataTypes.INTEGER, primaryKey: true }, line_no: { type: DataTypes.INTEGER, primaryKey: true }, product: DataTypes.TEXT, quantity: DataTypes.INTEGER }, { tableName: 'order_lines' }); // prettier-ignore
const Tag = db.define(
  'tag',
  { label: { type: DataTypes.TEXT, unique: true }, uses: DataTypes.INTEGER },
  { tableName: 'tags' },
);
Customer.hasMany(Order, { foreignKey: 'customer_id' });
Order.belongsTo(Customer, { foreignKey: 'customer_id' });
Order.hasMany(Line, { foreignKey: 'order_id' });
Customer.belongsToMany(Tag, { through: 'customer_tags', foreignKey: 'customer_id', otherKey: 'tag_id' });
Tag.belongsToMany(Customer, { through: 'customer_tags', foreignKey: 'tag_id', otherKey: 'customer_id' });

const plain = (found) => JSON.parse(JSON.stringify(found));

await run({
  all: async () => plain(await Customer.findAll({ order: ['id'] })),
  'by key': async () => plain(await Customer.findByPk(4)),
  conditions: async () =>
    plain(
      await Customer.findAll({
        where: {
          region: { [Op.in]: ['EU', 'US'] },
          name: { [Op.iLike]: 'customer 1%' },
          [Op.or]: [{ id: { [Op.gt]: 12 } }, { labels: { [Op.contains]: ['l1'] } }],
        },
        order: [['id', 'DESC']],
      }),
    ),
  'a page with a total, over a join': async () =>
    plain(
      await Customer.findAndCountAll({
        include: [Order],
        distinct: true,
        limit: 3,
        offset: 3,
        order: [
          ['id', 'ASC'],
          [Order, 'id', 'ASC'],
        ],
      }),
    ),
  'eager, two deep': async () =>
    plain(
      await Customer.findAll({
        where: { id: [1, 2, 3] },
        include: [{ model: Order, required: true, where: { total: { [Op.gt]: 100 } }, include: [Line] }, Tag],
        order: [
          ['id', 'ASC'],
          [Order, 'id', 'ASC'],
          [Order, Line, 'line_no', 'ASC'],
          [Tag, 'id', 'ASC'],
        ],
      }),
    ),
  'eager in queries of their own': async () =>
    plain(
      await Customer.findAll({
        include: [{ model: Order, separate: true, limit: 2, order: ['id'] }],
        order: ['id'],
        limit: 3,
      }),
    ),
  lazily: async () => plain(await (await Order.findByPk(9)).getCustomer()),
  aggregates: async () =>
    plain(
      await Order.findAll({
        attributes: ['status', [fn('sum', col('total')), 'sum'], [fn('count', literal('*')), 'n']],
        group: ['status'],
        order: ['status'],
      }),
    ),
  'count, max, sum': async () => [
    await Customer.count(),
    await Order.max('total'),
    await Order.sum('total', { where: { status: 'paid' } }),
  ],
  create: async () =>
    plain(await Customer.create({ name: 'Sequelize', region: 'EU', preferences: { a: 1 }, labels: ['x'] })),
  'create with relations': async () =>
    plain(
      await Order.create(
        {
          customer_id: 2,
          placed: '2026-12-01',
          status: 'open',
          total: 5,
          lines: [{ line_no: 1, product: 'p', quantity: 2 }],
        },
        { include: [Line] },
      ),
    ),
  'bulk create': async () =>
    plain(
      await Tag.bulkCreate([
        { label: 'sequelize 1', uses: 0 },
        { label: 'sequelize 2', uses: 0 },
      ]),
    ).map(({ label }) => label),
  'bulk upsert': async () =>
    plain(await Tag.bulkCreate([{ label: 'sequelize 1', uses: 7 }], { updateOnDuplicate: ['uses'] })).map(
      ({ uses }) => uses,
    ),
  upsert: async () =>
    plain((await Tag.upsert({ label: 'sequelize 2', uses: 9 }, { conflictFields: ['label'] }))[0].uses),
  'find or create': async () =>
    plain(await Tag.findOrCreate({ where: { label: 'sequelize 3' }, defaults: { uses: 1 } }))[1],
  'change and save': async () => {
    const found = await Customer.findOne({ where: { name: 'Sequelize' } });
    found.region = 'US';
    await found.save();
    return plain(await found.reload());
  },
  'update many': async () =>
    plain(await Customer.update({ region: 'AP' }, { where: { name: 'Sequelize' }, returning: true })),
  increment: async () => plain(await Tag.increment({ uses: 2 }, { where: { label: 'sequelize 3' } }))[0].length,
  'many to many': async () => {
    const found = await Customer.findByPk(5);
    await found.addTag(await Tag.findOne({ where: { label: 'sequelize 3' } }));
    const tags = (await found.getTags({ order: ['id'] })).map(({ label }) => label);
    await found.removeTag(await Tag.findOne({ where: { label: 'sequelize 3' } }));
    return [tags, await found.countTags()];
  },
  'a transaction': async () => {
    await db
      .transaction(async (transaction) => {
        await Order.destroy({ where: { customer_id: 3 }, transaction });
        await Customer.findByPk(3, { transaction, lock: transaction.LOCK.UPDATE });
        throw new Error('undo');
      })
      .catch((error) => {
        if (error.message !== 'undo') throw error;
      });
    return Order.count({ where: { customer_id: 3 } });
  },
  isolation: () =>
    db.transaction({ isolationLevel: Sequelize.Transaction.ISOLATION_LEVELS.SERIALIZABLE }, async (transaction) =>
      plain(await Customer.findByPk(6, { transaction })),
    ),
  raw: async () =>
    plain(
      await db.query('select id, email from customers where id = :id', { replacements: { id: 5 }, type: 'SELECT' }),
    ),
  'raw, bound': async () =>
    plain(await db.query('select id, email from customers where id = $1', { bind: [5], type: 'SELECT' })),
  // Not getForeignKeyReferencesForTable: it looks for the name that the connection was opened with, which is the target's.
  introspection: async () => {
    const inspect = db.getQueryInterface();
    return plain([
      await inspect.showAllTables(),
      await inspect.describeTable('customers'),
      await inspect.showIndex('orders'),
    ]);
  },
  'sync, and changes': async () => {
    const Note = db.define(
      'note',
      { body: DataTypes.TEXT, kind: DataTypes.STRING(1) },
      { tableName: 'sequelized', indexes: [{ fields: ['kind'] }] },
    );
    await Note.sync();
    await db.getQueryInterface().addColumn('sequelized', 'more', { type: DataTypes.INTEGER, defaultValue: 3 });
    await Note.create({ body: 'x', kind: 'b' });
    const rows = await db.query('select * from sequelized', { type: 'SELECT' });
    await Note.drop();
    return plain(rows);
  },
  destroy: () => Customer.destroy({ where: { name: 'Sequelize' } }),
});
await db.close();
