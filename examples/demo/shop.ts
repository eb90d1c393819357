import pg from 'pg';

/**
 * A shop's database, the same on every machine and every day: all values come from one seed, and all dates from one day.
 */
export interface ShopCounts {
  readonly customers: number;
  readonly products: number;
  readonly orders: number;
  readonly items: number;
  readonly payments: number;
}

const sizes = { customers: 2_000, products: 240, orders: 6_000 } as const;

/** The last day that the shop knows: the end of a month, for the report that the demo's agent writes. */
const today = Date.UTC(2026, 9, 31);
const day_ms = 86_400_000;

const schema = `
create schema app;

create table app.customers (
  id integer primary key,
  name text not null,
  email text not null unique,
  phone text,
  ssn text,
  card_number text,
  dob date,
  region text not null check (region in ('EU', 'US', 'APAC')),
  notes text,
  created_at timestamptz not null
);

create table app.products (
  id integer primary key,
  sku text not null unique,
  name text not null,
  category text not null,
  price numeric(10, 2) not null check (price > 0),
  stock integer not null
);

create table app.orders (
  id integer primary key,
  customer_id integer not null references app.customers,
  region text not null,
  status text not null check (status in ('placed', 'paid', 'shipped', 'returned')),
  total numeric(10, 2) not null,
  placed_at timestamptz not null
);

create table app.order_items (
  order_id integer not null references app.orders on delete cascade,
  line smallint not null,
  product_id integer not null references app.products,
  quantity integer not null check (quantity > 0),
  price numeric(10, 2) not null,
  primary key (order_id, line)
);

create table app.payments (
  id integer primary key,
  order_id integer not null references app.orders,
  method text not null check (method in ('card', 'transfer', 'wallet')),
  status text not null check (status in ('captured', 'refunded')),
  amount numeric(10, 2) not null,
  paid_at timestamptz not null
);

create table app.secrets (
  name text primary key,
  value text not null
);

create view app.revenue_by_month as
  select date_trunc('month', placed_at at time zone 'UTC')::date as month, region, count(*) as orders, sum(total) as revenue
  from app.orders
  where status <> 'returned'
  group by 1, 2;

insert into app.secrets values
  ('payment-provider-key', 'demo-only-7f31c0'),
  ('webhook-signing-key', 'demo-only-b2e94d');
`;

const indexes = `
create index on app.orders (customer_id);
create index on app.orders (placed_at);
create index on app.order_items (product_id);
create index on app.payments (order_id);
`;

/**
 * Fills an empty database.
 *
 * @param role an ordinary role with a password, which the gateway signs in as: it reads and writes rows of the shop, and
 *   is no superuser.
 */
export async function fillShop(databaseUrl: string, role: { name: string; password: string }): Promise<ShopCounts> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query('begin');
    await client.query(schema);
    const data = generate();
    for (const [table, rows] of Object.entries(data)) {
      await client.query(`insert into app.${table} select * from json_populate_recordset(null::app.${table}, $1)`, [
        JSON.stringify(rows),
      ]);
    }
    await client.query(indexes);
    const name = client.escapeIdentifier(role.name);
    await client.query(`create role ${name} login password ${client.escapeLiteral(role.password)}`);
    await client.query(
      `grant usage on schema app to ${name}; grant select, insert, update, delete on all tables in schema app to ${name}`,
    );
    await client.query('commit');
    await client.query('analyze');
    return {
      customers: data.customers.length,
      products: data.products.length,
      orders: data.orders.length,
      items: data.order_items.length,
      payments: data.payments.length,
    };
  } finally {
    await client.end();
  }
}

const firstNames = [
  'Ada',
  'Amir',
  'Ana',
  'Björn',
  'Chen',
  'Dalia',
  'Emeka',
  'Eva',
  'Farid',
  'Grace',
  'Hana',
  'Igor',
  'Ines',
  'Jamal',
  'Jun',
  'Kofi',
  'Lea',
  'Liam',
  'Lucía',
  'Maya',
  'Mei',
  'Noah',
  'Nour',
  'Olga',
  'Oskar',
  'Priya',
  'Rosa',
  'Samir',
  'Sofia',
  'Tariq',
  'Uma',
  'Yuki',
];
const lastNames = [
  'Almeida',
  'Bauer',
  'Castillo',
  'Diallo',
  'Eriksson',
  'Fischer',
  'Garcia',
  'Haddad',
  'Ito',
  'Jansen',
  'Kaya',
  'Kim',
  'Larsen',
  'Moreau',
  'Nakamura',
  'Novak',
  'Okafor',
  'Patel',
  'Quist',
  'Rossi',
  'Sato',
  'Schmidt',
  'Silva',
  'Tanaka',
  'Ueda',
  'Varga',
  'Weber',
  'Wong',
  'Yilmaz',
  'Zhang',
];
const notes = [
  'prefers deliveries in the morning',
  'asked for an invoice by post',
  'moved in spring, old address still on file',
  'allergic to nuts, see last order',
  'called about a late parcel',
  'wants no newsletter',
];
const categories = ['books', 'garden', 'kitchen', 'office', 'outdoor', 'toys'];
const things = ['lamp', 'kettle', 'notebook', 'tent', 'puzzle', 'trowel', 'pan', 'backpack', 'atlas', 'clock'];
const looks = ['plain', 'blue', 'folding', 'small', 'large', 'classic'];

function generate() {
  const random = mulberry32(0x5a11);
  const below = (limit: number) => Math.floor(random() * limit);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  const digits = (count: number) => Array.from({ length: count }, () => below(10)).join('');
  const at = (ms: number) => new Date(ms).toISOString();
  const cents = (value: number) => (value / 100).toFixed(2);

  const customers = Array.from({ length: sizes.customers }, (_, index) => {
    const first = pick(firstNames);
    const last = pick(lastNames);
    return {
      id: index + 1,
      name: `${first} ${last}`,
      email: `${first}.${last}.${String(index + 1)}@example.com`.toLowerCase(),
      phone: `+1-555-01${digits(2)}-${digits(4)}`,
      // Numbers from ranges that are never given out: 900-999 in a social security number, a test range for cards.
      ssn: `9${digits(2)}-${digits(2)}-${digits(4)}`,
      card_number: `4000 0000 ${digits(4)} ${digits(4)}`,
      dob: at(Date.UTC(1945 + below(60), below(12), 1 + below(28))).slice(0, 10),
      region: pick(['EU', 'EU', 'US', 'US', 'APAC'] as const),
      notes: below(5) === 0 ? pick(notes) : null,
      created_at: at(today - below(900) * day_ms),
    };
  });

  const products = Array.from({ length: sizes.products }, (_, index) => {
    const category = pick(categories);
    return {
      id: index + 1,
      sku: `${category.slice(0, 3).toUpperCase()}-${String(1000 + index)}`,
      name: `${pick(looks)} ${pick(things)}`,
      category,
      price: cents(495 + below(15_000)),
      stock: below(400),
    };
  });

  const orders = [];
  const order_items = [];
  const payments = [];
  for (let id = 1; id <= sizes.orders; id++) {
    const customer = pick(customers);
    const placed_ms = today - below(365 * 24 * 60) * 60_000;
    let total = 0;
    const lines = 1 + below(4);
    for (let line = 1; line <= lines; line++) {
      const product = pick(products);
      const quantity = 1 + below(3);
      total += Math.round(Number(product.price) * 100) * quantity;
      order_items.push({ order_id: id, line, product_id: product.id, quantity, price: product.price });
    }
    const status = pick(['placed', 'paid', 'shipped', 'shipped', 'shipped', 'shipped', 'shipped', 'returned'] as const);
    orders.push({
      id,
      customer_id: customer.id,
      region: customer.region,
      status,
      total: cents(total),
      placed_at: at(placed_ms),
    });
    if (status !== 'placed') {
      payments.push({
        id: payments.length + 1,
        order_id: id,
        method: pick(['card', 'card', 'card', 'transfer', 'wallet'] as const),
        status: status === 'returned' ? 'refunded' : 'captured',
        amount: cents(total),
        paid_at: at(placed_ms + (5 + below(2_000)) * 60_000),
      });
    }
  }
  return { customers, products, orders, order_items, payments };
}

/** A small generator with a seed (Tommy Ettinger's mulberry32, public domain): equal on every platform. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
