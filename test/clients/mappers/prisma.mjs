import { load, run, url } from './steps.mjs';

const { PrismaPg } = load('@prisma/adapter-pg');
const { Prisma, PrismaClient } = load('./client');

const db = new PrismaClient({ adapter: new PrismaPg({ connectionString: url, max: 2 }) });
const customer = { orderBy: { id: 'asc' } };

await run({
  'find many': () => db.customers.findMany(customer),
  'find unique, batched': () =>
    Promise.all([1, 2, 3].map((id) => db.customers.findUnique({ where: { id }, select: { id: true, email: true } }))),
  conditions: () =>
    db.customers.findMany({
      ...customer,
      where: {
        region: { in: ['EU', 'US'] },
        name: { startsWith: 'customer 1', mode: 'insensitive' },
        OR: [{ id: { gt: 12 } }, { labels: { has: 'l1' } }],
        NOT: { preferences: { path: ['size'], equals: 3 } },
      },
    }),
  'pages, by offset and by cursor': async () => [
    await db.customers.findMany({ ...customer, skip: 5, take: 3 }),
    await db.customers.findMany({ ...customer, cursor: { id: 9 }, skip: 1, take: 3 }),
    await db.customers.findMany({ ...customer, cursor: { id: 9 }, take: -3 }),
  ],
  'relations, two deep': () =>
    db.customers.findMany({
      ...customer,
      take: 4,
      include: {
        orders: { orderBy: { id: 'desc' }, take: 2, include: { lines: { orderBy: { line_no: 'asc' } } } },
        tags: { include: { tag: true } },
        _count: { select: { orders: true } },
      },
    }),
  'through relations': () =>
    db.customers.findMany({
      ...customer,
      where: {
        orders: { some: { total: { gt: 400 }, lines: { every: { quantity: { lt: 4 } } } } },
        tags: { none: { tag: { label: 'late' } } },
      },
    }),
  'ordered by a relation': () =>
    db.orders.findMany({
      orderBy: [{ customer: { region: 'asc' } }, { id: 'asc' }],
      include: { customer: true },
      take: 5,
    }),
  distinct: () => db.customers.findMany({ distinct: ['region'], orderBy: { region: 'asc' }, select: { region: true } }),
  'count, aggregate, group by': async () => [
    await db.customers.count({ where: { region: 'EU' } }),
    await db.orders.aggregate({ _sum: { total: true }, _max: { placed: true }, _count: { _all: true } }),
    await db.orders.groupBy({
      by: ['status'],
      _sum: { total: true },
      having: { total: { _sum: { gt: 10 } } },
      orderBy: { status: 'asc' },
    }),
  ],
  create: () =>
    db.customers.create({
      data: {
        name: 'Prisma',
        email: 'prisma@example.com',
        born: new Date('1999-09-09'),
        balance: 5432.1,
        preferences: { a: [1] },
        labels: ['x'],
      },
    }),
  'nested create': () =>
    db.orders.create({
      data: {
        placed: new Date('2026-12-05'),
        customer: { connect: { id: 2 } },
        lines: { create: [1, 2].map((n) => ({ line_no: n, product: 'p', quantity: n })) },
      },
      include: { lines: true, customer: true },
    }),
  'create many, returning': () =>
    db.tags.createManyAndReturn({
      data: [{ label: 'prisma 1' }, { label: 'prisma 2' }, { label: 'late' }],
      skipDuplicates: true,
      select: { label: true, uses: true },
    }),
  update: () => db.customers.update({ where: { id: 3 }, data: { region: 'AP', preferences: { b: 2 } } }),
  'update many, returning': () =>
    db.customers.updateManyAndReturn({ where: { name: 'Prisma' }, data: { region: 'US' } }),
  increment: () =>
    db.tags.update({ where: { label: 'prisma 1' }, data: { uses: { increment: 3 } }, select: { uses: true } }),
  upsert: async () => [
    await db.tags.upsert({
      where: { label: 'prisma 2' },
      create: { label: 'prisma 2' },
      update: { uses: 8 },
      select: { uses: true },
    }),
    await db.tags.upsert({
      where: { label: 'prisma 3' },
      create: { label: 'prisma 3' },
      update: { uses: 8 },
      select: { uses: true },
    }),
    await db.customers.upsert({ where: { id: 4 }, create: { name: 'x' }, update: { name: 'Four' } }),
  ],
  'relations changed': () =>
    db.customers.update({
      where: { id: 5 },
      data: { tags: { create: { tag: { connect: { label: 'prisma 1' } } } } },
      include: { tags: { include: { tag: true } } },
    }),
  'a batch transaction': () =>
    db.$transaction([
      db.customers.count(),
      db.orders.findFirst({ orderBy: { id: 'asc' }, include: { customer: true } }),
    ]),
  'an interactive transaction': async () => {
    await db
      .$transaction(
        async (tx) => {
          await tx.order_lines.deleteMany({ where: { order_id: 5 } });
          await tx.customers.findUniqueOrThrow({ where: { id: 5 } });
          throw new Error('undo');
        },
        { isolationLevel: Prisma.TransactionIsolationLevel.Serializable },
      )
      .catch((error) => {
        if (error.message !== 'undo') throw error;
      });
    return db.order_lines.count({ where: { order_id: 5 } });
  },
  raw: async () => [
    await db.$queryRaw`select id, email, born, balance from customers where id = ${6}`,
    await db.$queryRawUnsafe('select email from customers where id = $1', 7),
    await db.$executeRaw`update tags set uses = uses + 1 where label = ${'prisma 3'}`,
  ],
  'definitions by raw SQL': async () => {
    await db.$executeRawUnsafe(
      'create table prismaed (id serial primary key, customer_id int references customers (id))',
    );
    await db.$executeRawUnsafe('create index on prismaed (customer_id)');
    await db.$executeRawUnsafe('insert into prismaed (customer_id) values (1)');
    return db.$queryRawUnsafe('select * from prismaed');
  },
  delete: async () => [
    await db.customers.deleteMany({ where: { name: 'Prisma' } }),
    await db.order_lines.delete({ where: { order_id_line_no: { order_id: 6, line_no: 1 } } }),
  ],
});
await db.$disconnect();
