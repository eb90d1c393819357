import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inScratch, load, place, run, url } from './steps.mjs';

const pg = load('pg');
const { drizzle } = load('drizzle-orm/node-postgres');
const { and, asc, count, desc, eq, gt, inArray, like, relations, sql, sum } = load('drizzle-orm');
const { migrate } = load('drizzle-orm/node-postgres/migrator');
const t = load('drizzle-orm/pg-core');

const status = t.pgEnum('status', ['open', 'paid', 'shipped']);
const customers = t.pgTable('customers', {
  id: t.integer().primaryKey().generatedByDefaultAsIdentity(),
  name: t.text().notNull(),
  email: t.varchar({ length: 120 }).unique(),
  ssn: t.text(),
  born: t.date(),
  balance: t.numeric({ precision: 12, scale: 2 }).notNull().default('0'),
  region: t.text().notNull().default('EU'),
  preferences: t.jsonb().notNull().default({}),
  labels: t.text().array().notNull().default([]),
});
const orders = t.pgTable('orders', {
  id: t.integer().primaryKey().generatedByDefaultAsIdentity(),
  customerId: t.integer('customer_id').notNull(),
  placed: t.date().notNull(),
  status: status().notNull().default('open'),
  total: t.numeric({ precision: 12, scale: 2 }).notNull().default('0'),
});
const lines = t.pgTable(
  'order_lines',
  {
    orderId: t.integer('order_id').notNull(),
    lineNo: t.integer('line_no').notNull(),
    product: t.text().notNull(),
    quantity: t.integer().notNull(),
  },
  (table) => [t.primaryKey({ columns: [table.orderId, table.lineNo] })],
);
const tags = t.pgTable('tags', {
  id: t.integer().primaryKey().generatedByDefaultAsIdentity(),
  label: t.text().notNull().unique(),
  uses: t.integer().notNull().default(0),
});
const customerTags = t.pgTable('customer_tags', { customerId: t.integer('customer_id'), tagId: t.integer('tag_id') });
const schema = {
  customers,
  orders,
  lines,
  tags,
  customerTags,
  customersRelations: relations(customers, ({ many }) => ({ orders: many(orders), tags: many(customerTags) })),
  ordersRelations: relations(orders, ({ one, many }) => ({
    customer: one(customers, { fields: [orders.customerId], references: [customers.id] }),
    lines: many(lines),
  })),
  linesRelations: relations(lines, ({ one }) => ({
    order: one(orders, { fields: [lines.orderId], references: [orders.id] }),
  })),
  customerTagsRelations: relations(customerTags, ({ one }) => ({
    customer: one(customers, { fields: [customerTags.customerId], references: [customers.id] }),
    tag: one(tags, { fields: [customerTags.tagId], references: [tags.id] }),
  })),
};

const pool = new pg.Pool({ ...place, max: 2 });
const db = drizzle(pool, { schema });

await run({
  'select all': () => db.select().from(customers).orderBy(asc(customers.id)),
  'select some, with a condition': () =>
    db
      .select({ id: customers.id, email: customers.email, upper: sql`upper(${customers.name})` })
      .from(customers)
      .where(and(eq(customers.region, 'EU'), like(customers.name, 'Customer %'), inArray(customers.id, [3, 6, 9])))
      .orderBy(desc(customers.id)),
  'a page': () => db.select().from(customers).orderBy(asc(customers.id)).limit(5).offset(10),
  'a join': () =>
    db
      .select()
      .from(orders)
      .innerJoin(customers, eq(orders.customerId, customers.id))
      .where(gt(orders.total, '500'))
      .orderBy(asc(orders.id)),
  'left join and grouping': () =>
    db
      .select({ region: customers.region, orders: count(orders.id), total: sum(orders.total) })
      .from(customers)
      .leftJoin(orders, eq(orders.customerId, customers.id))
      .groupBy(customers.region)
      .having(({ orders: many }) => gt(many, 1))
      .orderBy(customers.region),
  'relations, two deep, with pages inside': () =>
    db.query.customers.findMany({
      with: {
        orders: { with: { lines: true }, limit: 2, orderBy: (table) => [desc(table.id)] },
        tags: { with: { tag: true } },
      },
      orderBy: (table) => [asc(table.id)],
      limit: 4,
    }),
  'one with its parent': () =>
    db.query.orders.findFirst({ where: (table, ops) => ops.eq(table.id, 7), with: { customer: true } }),
  'columns left out, and computed ones': () =>
    db.query.customers.findMany({
      columns: { id: true, email: true, ssn: true },
      extras: (table) => ({ size: sql`length(${table.name})`.as('size') }),
      where: (table, ops) => ops.lt(table.id, 4),
      orderBy: (table) => [asc(table.id)],
    }),
  'common table expressions': () => {
    const totals = db.$with('totals').as(
      db
        .select({ who: orders.customerId, total: sql`sum(${orders.total})`.as('total') })
        .from(orders)
        .groupBy(orders.customerId),
    );
    return db
      .with(totals)
      .select({ name: customers.name, email: customers.email, total: totals.total })
      .from(totals)
      .innerJoin(customers, eq(customers.id, totals.who))
      .orderBy(asc(customers.id));
  },
  'a sub-query and exists': () => {
    const busy = db.select({ id: orders.customerId }).from(orders).where(gt(orders.total, '600'));
    return db.select().from(customers).where(inArray(customers.id, busy)).orderBy(asc(customers.id));
  },
  union: () =>
    t
      .union(
        db
          .select({ id: customers.id, name: customers.name, email: customers.email })
          .from(customers)
          .where(eq(customers.id, 1)),
        db
          .select({ id: customers.id, name: customers.name, email: customers.email })
          .from(customers)
          .where(eq(customers.id, 2)),
      )
      .orderBy(asc(sql`id`)),
  count: () => db.$count(customers, eq(customers.region, 'US')),
  'insert, returning': () =>
    db
      .insert(customers)
      .values({
        name: 'Drizzle',
        email: 'drizzle@example.com',
        ssn: '078-05-1120',
        born: '1999-09-09',
        balance: '12345.67',
        preferences: { a: [1] },
        labels: ['x', 'y'],
      })
      .returning(),
  'insert many': () =>
    db
      .insert(customers)
      .values([1, 2, 3].map((n) => ({ name: `Drizzle ${n}`, email: `drizzle${n}@example.com` })))
      .returning({ name: customers.name, email: customers.email, region: customers.region }),
  'update, returning': () =>
    db.update(customers).set({ name: 'Drizzled', region: 'AP' }).where(eq(customers.name, 'Drizzle')).returning(),
  'update by an expression': () =>
    db
      .update(orders)
      .set({ total: sql`${orders.total} + 1` })
      .where(eq(orders.customerId, 2))
      .returning(),
  upsert: () =>
    db
      .insert(tags)
      .values([{ label: 'loyal' }, { label: 'drizzle' }])
      .onConflictDoUpdate({ target: tags.label, set: { uses: sql`${tags.uses} + 1` } })
      .returning(),
  'upsert of a masked row': () =>
    db
      .insert(customers)
      .values({ id: 1, name: 'again', email: 'again@example.com' })
      .onConflictDoUpdate({ target: customers.id, set: { name: sql`excluded.name` } })
      .returning(),
  'insert or nothing': () => db.insert(tags).values({ label: 'late' }).onConflictDoNothing().returning(),
  'a transaction, with one inside that is rolled back': () =>
    db.transaction(async (tx) => {
      const [order] = await tx.insert(orders).values({ customerId: 1, placed: '2026-11-01' }).returning();
      await tx.insert(lines).values([1, 2].map((n) => ({ orderId: order.id, lineNo: n, product: 'p', quantity: n })));
      await tx
        .transaction(async (inner) => {
          await inner.delete(lines).where(eq(lines.orderId, order.id));
          inner.rollback();
        })
        .catch(() => undefined);
      return tx.query.orders.findFirst({
        where: (table, ops) => ops.eq(table.id, order.id),
        with: { lines: true, customer: true },
      });
    }),
  'a transaction that is rolled back': async () => {
    await db
      .transaction(async (tx) => {
        await tx.delete(customerTags);
        tx.rollback();
      })
      .catch(() => undefined);
    return db.$count(customerTags);
  },
  isolation: () =>
    db.transaction((tx) => tx.select().from(customers).where(eq(customers.id, 2)).for('update'), {
      isolationLevel: 'repeatable read',
    }),
  'prepared, with placeholders': async () => {
    const one = db
      .select()
      .from(customers)
      .where(eq(customers.id, sql.placeholder('id')))
      .prepare('one_customer');
    return [await one.execute({ id: 4 }), await one.execute({ id: 5 })];
  },
  'raw SQL': async () =>
    (await db.execute(sql`select id, email, ${'x'}::text as x from ${customers} where id = ${6}`)).rows,
  'a view': async () => (await db.execute(sql`select * from big_orders order by id`)).rows,
  'delete, returning': () => db.delete(customers).where(like(customers.name, 'Drizzle%')).returning(),
  'a migration, twice': () =>
    inScratch(async (folder) => {
      await mkdir(join(folder, 'meta'));
      const entries = [{ idx: 0, version: '7', when: 1_790_000_000_000, tag: '0000_first', breakpoints: true }];
      const journal = { version: '7', dialect: 'postgresql', entries };
      await writeFile(join(folder, 'meta/_journal.json'), JSON.stringify(journal));
      await writeFile(
        join(folder, '0000_first.sql'),
        `CREATE TYPE "public"."drizzled_kind" AS ENUM('a', 'b');
--> statement-breakpoint
CREATE TABLE "drizzled" ("id" serial PRIMARY KEY NOT NULL, "customer_id" integer, "kind" "drizzled_kind" DEFAULT 'a' NOT NULL);
--> statement-breakpoint
ALTER TABLE "drizzled" ADD CONSTRAINT "drizzled_customer_fk" FOREIGN KEY ("customer_id") REFERENCES "public"."customers"("id") ON DELETE no action ON UPDATE no action;
--> statement-breakpoint
CREATE INDEX "drizzled_kinds" ON "drizzled" USING btree ("kind");`,
      );
      await migrate(db, { migrationsFolder: folder });
      await migrate(db, { migrationsFolder: folder });
      await db.execute(sql`insert into drizzled (customer_id) values (1)`);
      return (await db.execute(sql`select * from drizzled`)).rows;
    }),
  introspection: () =>
    inScratch(async (folder) => {
      const kit = spawnSync(
        'node',
        [
          join(process.env.CLIENT_PACKAGES, 'node_modules/drizzle-kit/bin.cjs'),
          'pull',
          '--dialect',
          'postgresql',
          '--url',
          url,
          '--out',
          folder,
        ],
        { encoding: 'utf8' },
      );
      if (kit.status !== 0) throw new Error(kit.stdout + kit.stderr);
      return [await readFile(join(folder, 'schema.ts'), 'utf8'), await readFile(join(folder, 'relations.ts'), 'utf8')];
    }),
});
await pool.end();
