import { readFileSync } from 'node:fs';
import { Canaries, type Variant } from './canaries.js';

/** What the fixture's tables hold, in one of its two variants. */
export interface Data {
  readonly variant: Variant;
  /** INSERTs, and what has to follow them: refreshes, statistics. */
  readonly sql: string;
  readonly canaries: ReadonlySet<string>;
  /** Values that the corpus says to the server: somebody's number, the pseudonym of the same, how the first number begins. */
  readonly words: { readonly guess: string; readonly hashed: string; readonly first: string };
  /** What another session has said, and left standing in what the server shows of sessions. */
  readonly overheard: string;
}

export const customers = 12;
const regions = ['EU', 'US', 'APAC'];
const tiers = ['gold', 'silver', 'bronze', 'none'];
const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
/** Neither of databases nor of masks: which first letter an address has, say. */
const letter = (index: number) => 'qwzxkjvhgymn'[index % 12] ?? 'q';

export function makeData(variant: Variant): Data {
  const canary = new Canaries(variant);
  const statements: string[] = [];
  const insert = (table: string, columns: string, rows: readonly string[][]) =>
    statements.push(
      `insert into ${table} (${columns}) values\n${rows.map((row) => `(${row.join(', ')})`).join(',\n')}`,
    );
  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
  const one = (list: readonly string[], index: number) => list[index % list.length] ?? '';

  insert(
    'app.customers',
    'id, name, email, phone, ssn, card_number, dob, notes, balance, tax_code, region, tier, address, tags, profile, account, picture, seen_from, stay, code, flags',
    numbers(customers).map((id) => {
      const cell = (column: string) => `customers.${id}.${column}`;
      // The hashed column is the same in both: that equal values have equal hashes is what the hash is for.
      const taxCode = new Canaries('a').word(cell('tax_code'));
      canary.values.add(taxCode);
      const shift = variant === 'a' ? 1 : 2;
      return [
        String(id),
        literal(`Customer ${id}`),
        literal(`${letter(id)}${canary.word(cell('email'))}@${canary.word(cell('domain'))}.example`),
        literal(`+${canary.word(cell('phone'))}${10 + id}`),
        literal(canary.word(cell('ssn'))),
        literal(canary.word(cell('card'))),
        literal(canary.day(cell('dob'))),
        literal(`${canary.word(cell('notes'))} ${canary.word(cell('notes2'))}`),
        `${canary.number(cell('balance'))}.25`,
        literal(taxCode),
        literal(one(regions, id)),
        literal(one(tiers, id * shift)),
        `row(${literal(canary.word(cell('street')))}, ${literal(canary.word(cell('city')))})::app.address`,
        `array[${literal(canary.word(cell('tag')))}, ${literal(canary.word(cell('tag2')))}]`,
        literal(
          JSON.stringify({
            mother: canary.word(cell('mother')),
            pets: [canary.word(cell('pet'))],
            age: Number(canary.number(cell('age'))),
          }),
        ),
        literal(`DE${canary.word(cell('account'))}`),
        `convert_to(${literal(canary.word(cell('picture')))}, 'UTF8')`,
        literal(`10.${variant === 'a' ? 7 : 9}.${(id * shift) % 11}.${id}`),
        `daterange(${literal(canary.day(cell('stay')))}, '1990-01-01')`,
        literal(canary.word(cell('code')).slice(0, 10)),
        `B'${(id * shift).toString(2).padStart(8, '0')}'`,
      ];
    }),
  );
  insert(
    'app.orders',
    'id, customer_id, total, region, note, placed',
    numbers(24).map((id) => [
      String(id),
      String(1 + (id % customers)),
      `${id * 10}.50`,
      literal(one(regions, id)),
      literal(`order ${id}`),
      literal(`2026-0${1 + (id % 9)}-1${id % 10}`),
    ]),
  );
  insert(
    'app.secrets',
    'id, name, value',
    numbers(3).map((id) => [String(id), literal(`key ${id}`), literal(canary.word(`secrets.${id}`))]),
  );
  insert(
    'app.employees',
    'id, name, salary, national_id, manager_id, dept, hired, badge',
    numbers(8).map((id) => {
      const badge = new Canaries('a').word(`employees.${id}.badge`);
      canary.values.add(badge);
      return [
        String(id),
        literal(`Employee ${id}`),
        canary.number(`employees.${id}.salary`),
        // Some are customers: a join over both is a way to learn of either.
        literal(
          id <= 4 === (variant === 'a') ? canary.word(`customers.${id}.ssn`) : canary.word(`employees.${id}.national`),
        ),
        id === 1 ? 'null' : String(Math.floor(id / 2)),
        literal(one(['sales', 'support'], id)),
        literal(canary.day(`employees.${id}.hired`)),
        literal(badge),
      ];
    }),
  );
  insert(
    'app.accounts',
    'id, customer_id, iban, opened',
    numbers(10).map((id) => [
      String(id),
      String(id),
      literal(`DE${canary.word(`accounts.${id}`)}`),
      `'2020-01-${10 + id}'`,
    ]),
  );
  insert(
    'app.messages',
    'id, sender, body',
    numbers(6).map((id) => [
      String(id),
      literal(`Customer ${id}`),
      literal(
        `Please write to ${canary.word(`messages.${id}`)}@${canary.word(`messages.${id}.domain`)}.example or charge ${canary.card(`messages.${id}.card`)} for order ${id}.`,
      ),
    ]),
  );
  insert(
    'app.tickets',
    'id, region, title, body',
    numbers(12).map((id) => {
      // What the filter hides differs, what it shows does not.
      const hidden = id % 3 !== 0;
      const text = (part: string) => (hidden ? canary.word(`tickets.${id}.${part}`) : `${part} ${id}`);
      return [
        String(id),
        literal(hidden ? one(['US', 'APAC'], id) : 'EU'),
        literal(text('title')),
        literal(text('body')),
      ];
    }),
  );
  insert(
    'app.events',
    'id, at, kind, payload',
    numbers(30).map((id) => [
      String(id),
      `'2026-03-${String(1 + (id % 28)).padStart(2, '0')}'`,
      literal(one(['login', 'buy'], id)),
      literal(canary.word(`events.${id}`)),
    ]),
  );
  insert(
    'app.desks',
    'id, name, pin',
    numbers(8).map((id) => [String(id), literal(`Desk ${id}`), literal(canary.word(`desks.${id}`))]),
  );
  const other = (id: number): number => (variant === 'a' ? id : 9 - id);
  insert(
    'app.holders',
    'id, tag',
    numbers(8).map((id) => [String(id), literal(canary.word(`holders.${id}`))]),
  );
  insert(
    'app.held',
    'id, tag',
    numbers(8).map((id) => [String(id), literal(canary.word(`holders.${other(id)}`))]),
  );
  insert(
    'app.lent',
    'id, holder',
    numbers(8).map((id) => [String(id), String(other(id))]),
  );
  insert(
    'app.wards',
    'id, ward, note',
    numbers(8).map((id) => [
      String(id),
      literal(one(['north', 'south'], variant === 'a' ? id : Math.floor(id / 2))),
      literal(`note ${id}`),
    ]),
  );
  insert(
    'app.documents',
    'id, title, content',
    numbers(4).map((id) => [String(id), literal(`Document ${id}`), literal(canary.word(`documents.${id}`))]),
  );
  insert(
    'app.contracts',
    'id, title, content, clause',
    numbers(4).map((id) => [
      String(id + 10),
      literal(`Contract ${id}`),
      literal(canary.word(`contracts.${id}`)),
      literal(canary.word(`clauses.${id}`)),
    ]),
  );
  insert(
    'app.owned',
    'id, owner, body',
    numbers(4).map((id) => [String(id), literal(one(['public', 'nobody'], id)), literal(canary.word(`owned.${id}`))]),
  );
  insert(
    'app.board',
    'id, text',
    numbers(3).map((id) => [String(id), literal(`notice ${id}`)]),
  );
  insert(
    'app.shapes',
    'id, kind, parts',
    numbers(3).map((id) => [
      String(id),
      literal('box'),
      `array[row(${literal(canary.word(`shapes.${id}`))}, ${literal(canary.word(`shapes.${id}.city`))})::app.address]`,
    ]),
  );
  statements.push(`select lo_from_bytea(770001, convert_to(${literal(`${canary.word('large')} object`)}, 'UTF8'))`);
  statements.push('grant select on large object 770001 to public');
  statements.push(
    'refresh materialized view app.copies',
    'refresh materialized view app.figures',
    'refresh materialized view app.gathered',
  );
  return {
    variant,
    sql: statements.join(';\n'),
    canaries: canary.values,
    words: {
      guess: canary.word('customers.3.ssn'),
      hashed: new Canaries('a').word('customers.3.tax_code'),
      first: canary.word('customers.1.ssn').charAt(0),
    },
    overheard: `select ${literal(canary.word('overheard'))}`,
  };
}

/** The schema alone, in which nothing differs. */
export const schema = (): string => readFileSync(new URL('./fixture.sql', import.meta.url), 'utf8');
