-- What the corpus is run against. data.ts fills it; policy/ says what is masked.
-- Where people have them: their operators stand beside the server's own on every path.
create extension "citext" schema public;
create extension "hstore" schema public;
create extension "pg_trgm" schema public;
create extension "pgcrypto" schema public;
create extension "ltree" schema public;
create extension "unaccent" schema public;
create extension "uuid-ossp" schema public;
create schema app;
create schema scratch;
create schema keep;

create type app.tier as enum ('none', 'bronze', 'silver', 'gold');
create type app.address as (street text, city text);
create domain app.iban as text check (value ~ '^DE');

create table app.customers (
  id int primary key,
  name text not null,
  email varchar(80) not null,
  phone varchar(24),
  ssn varchar(20) unique,
  card_number text,
  dob date,
  notes text,
  balance numeric(14, 2) check (balance > 0),
  tax_code text,
  region text not null,
  tier app.tier,
  address app.address,
  tags text[],
  profile jsonb,
  account app.iban,
  picture bytea,
  seen_from inet,
  stay daterange,
  code char(12),
  flags bit(8),
  email_key text generated always as (lower(email)) stored,
  found tsvector generated always as (to_tsvector('simple', notes)) stored,
  created timestamptz not null default '2026-01-01 00:00:00+00',
  constraint customers_id check (id > 0)
);
create index customers_notes on app.customers (lower(notes));
create index customers_region on app.customers (region);
create statistics app.customers_stats (dependencies, ndistinct, mcv) on ssn, tier, dob from app.customers;
create table app.orders (
  id int primary key, customer_id int not null references app.customers (id), total numeric(12, 2), region text, note text, placed date
);
create table app.secrets (id int primary key, name text, value text);
create table app.employees (
  id int primary key, name text, salary numeric(14, 2), national_id text, manager_id int, dept text, hired date, badge text
);
create table app.accounts (id int primary key, customer_id int, iban text, opened date);
create table app.messages (id int primary key, sender text, body text);
create table app.tickets (id int primary key, region text, title text, body text);
create table app.events (id int not null, at date, kind text, payload text) partition by range (id);
create table app.events_low partition of app.events for values from (0) to (16);
create table app.events_high partition of app.events for values from (16) to (1000) partition by range (id);
create table app.events_high_1 partition of app.events_high for values from (16) to (1000);
create table app.wards (id int, ward text, note text) partition by list (ward);
create table app.wards_north partition of app.wards for values in ('north');
create table app.wards_south partition of app.wards for values in ('south');
create table app.documents (id int, title text, content text);
create table app.contracts (clause text) inherits (app.documents);
create table app.owned (id int primary key, owner text, body text);
alter table app.owned enable row level security;
create policy owned_by on app.owned using (owner in ('public', current_user));
create table app.desks (id int primary key, name text, pin text);
alter table app.desks enable row level security;
create policy few on app.desks using (pin < 'M');
create table app.holders (id int primary key, tag text unique);
create table app.held (id int primary key, tag text references app.holders (tag) on delete cascade);
create table app.lent (id int primary key, holder int references app.holders on delete set null on update cascade);
create view app.desk_names as select id, name from app.desks;
create table app.shapes (id int primary key, kind text, parts app.address[]);
create table app.board (id int primary key, text text);
create table app.log (id int generated always as identity, line text);

-- ── views ────────────────────────────────────────────────────────────────────────────────────────────────────────────
create view app.contacts as select id, name, email, phone, region from app.customers;
create view app.renamed (number, label, mail, social) as select id, name, email, ssn from app.customers;
create view app.everything as select * from app.customers;
create view app.deep as select c.id, c.name, c.email, r.social from app.contacts c join app.renamed r on r.number = c.id;
create view app.derived as
  select id, name || ' <' || email || '>' as line, upper(ssn) as social, length(notes) as size, balance * 2 as twice, region from app.customers;
create view app.rich as select id, name from app.customers where balance > 500000000;
create view app.rich_barrier with (security_barrier) as select id, name, region from app.customers where ssn < 'M';
create view app.rich_invoker with (security_invoker) as select id, name from app.customers where card_number < 'M';
create view app.top as select id, name from app.customers order by balance desc limit 3;
create view app.by_region as select region, sum(balance) as total, max(ssn) as last, count(*) as n from app.customers group by region;
create view app.by_tier as select count(*) as n from app.customers group by tier order by n, tier;
create view app.same as
  select c.id as customer, e.id as employee from app.customers c join app.employees e on e.national_id = c.ssn;
create view app.first_of_tier as select distinct on (tier) id, name from app.customers order by tier, id;
create view app.ranked as select id, name, rank() over (order by balance) as place from app.customers;
create view app.all_mail as select email as address from app.customers union all select sender from app.messages;
create recursive view app.chain (id, line) as
  select id, national_id from app.employees where manager_id is null
  union all select e.id, chain.line || '/' || e.national_id from app.employees e join chain on chain.id = e.manager_id;
create view app.whole as select id, c as everything from app.customers c;
create view app.documented as select id, to_jsonb(c) as document from app.customers c;
create view app.owned_lines as select id, body from app.owned;
create view app.eu_tickets as select id, title from app.tickets where region <> 'EU';
create view app.harmless as select id, name, region from app.customers;
create materialized view app.copies as select id, name, email, ssn from app.customers;
create materialized view app.figures as select region, max(balance) as most, min(dob) as oldest from app.customers group by region;

-- ── code ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
create function app.email_of(int) returns text language sql stable as $$ select email from app.customers where id = $1 $$;
create function app.email_too(int) returns text language sql stable begin atomic select email from app.customers where id = $1; end;
create function app.ssn_of(int) returns text language plpgsql as $$ begin return (select ssn from app.customers where id = $1); end $$;
create function app.known(text) returns boolean language plpgsql stable security definer
  as $$ begin return exists (select from app.customers where ssn like $1); end $$;
create function app.run(text) returns setof text language plpgsql as $$ begin return query execute $1; end $$;
create function app.customer_of(int) returns app.customers language sql stable as $$ select * from app.customers where id = $1 $$;
create function app.customer_list() returns setof app.customers language sql stable as $$ select * from app.customers $$;
create function app.lines_of(int) returns table (id int, line text) language sql stable
  as $$ select id, ssn from app.customers where id <= $1 $$;
create function app.contact_line(app.customers) returns text language sql immutable as $$ select $1.email || $1.ssn $$;
create function app.constant_lie(int) returns text language plpgsql immutable as $$ begin return (select notes from app.customers where id = $1); end $$;
create function app.gather_step(text, int) returns text language sql as $$ select coalesce($1, '') || app.email_of($2) $$;
create aggregate app.gather (int) (sfunc = app.gather_step, stype = text);
create function app.looks_like(int, text) returns boolean language sql as $$ select ssn like $2 from app.customers where id = $1 $$;
create operator app.~~~ (leftarg = int, rightarg = text, function = app.looks_like);
create type app.handle as (n int);
create function app.handle_text(app.handle) returns text language sql as $$ select email from app.customers where id = $1.n $$;
create cast (app.handle as text) with function app.handle_text (app.handle);
create function app.allowed(text) returns boolean language plpgsql as $$ begin
  if exists (select from app.customers where ssn = value_of) then return true; end if; return false;
  exception when others then raise exception 'not like %', (select ssn from app.customers where id = 1); end $$;
create domain app.guarded as text check (app.allowed(value));
create materialized view app.gathered as select id, app.email_of(id) as mail, app.constant_lie(id) as line from app.orders;
create view app.gathered_lines as select id, line from app.gathered;
create procedure app.tell(int) language plpgsql as $$ begin raise notice '%', (select ssn from app.customers where id = $1); end $$;
create function app.shout(text) returns text language sql immutable as $$ select upper($1) || '!' $$;

create table app.forms (id int primary key, who text default app.email_of(1), size int generated always as (id * 2) stored);
create table app.inbox (id int primary key, text text);
create function app.fill_inbox() returns trigger language plpgsql
  as $$ begin new.text := (select notes from app.customers where id = new.id); return new; end $$;
create trigger fill before insert on app.inbox for each row execute function app.fill_inbox();
create table app.noisy (id int primary key, text text);
create function app.announce() returns trigger language plpgsql
  as $$ begin raise notice 'first is %', (select email from app.customers where id = 1); return new; end $$;
create trigger announce after insert on app.noisy for each row execute function app.announce();
create table app.ruled (id int primary key, text text);
create rule copy as on insert to app.ruled do also insert into app.log (line) select ssn from app.customers where id = new.id;
create table app.parents (id int primary key);
create table app.children (id int primary key, parent_id int references app.parents on update cascade, text text);
insert into app.parents values (1), (2);

-- What the server runs unasked: a cast to json, and how values of a type are compared.
create type app.mood as enum ('good', 'bad');
create function app.mood_json(app.mood) returns json language sql as $$ select to_json(email) from app.customers where id = 1 $$;
create cast (app.mood as json) with function app.mood_json (app.mood);
create type app.place as (id int);
create function app.ssn_at(app.place) returns text language sql as $$ select ssn from app.customers where id = $1.id $$;
create function app.place_before(app.place, app.place) returns boolean language sql as $$ select app.ssn_at($1) < app.ssn_at($2) $$;
create function app.place_same(app.place, app.place) returns boolean language sql as $$ select app.ssn_at($1) = app.ssn_at($2) $$;
create function app.place_order(app.place, app.place) returns int language sql
  as $$ select case when app.ssn_at($1) < app.ssn_at($2) then -1 when app.ssn_at($1) = app.ssn_at($2) then 0 else 1 end $$;
create operator app.<< (leftarg = app.place, rightarg = app.place, function = app.place_before);
create operator app.== (leftarg = app.place, rightarg = app.place, function = app.place_same);
create operator class app.place_ops default for type app.place using btree as
  operator 1 app.<<, operator 3 app.==, function 1 app.place_order (app.place, app.place);
create type app.places as range (subtype = app.place, subtype_opclass = app.place_ops);
create table app.visits (id int primary key, mood app.mood, place app.place, route app.place[]);
insert into app.visits select n, 'good', row(n)::app.place, array[row(n)::app.place, row(9 - n)::app.place] from generate_series(1, 8) n;

-- Views whose order, groups and number of rows are those of values.
create view app.letters as select id, string_to_table(ssn, 'G') is null as none from app.customers;
create view app.words as select id, case when id > 0 then n end as n from (select id, unnest(string_to_array(notes, 'G')) as n from app.customers) x;
create view app.accounts_sorted as select id, customer_id from app.accounts order by iban;
create view app.accounts_first as select distinct on (left(iban, 4)) id from app.accounts order by left(iban, 4), id;
create view app.accounts_ranked as select id, row_number() over (order by iban) as place from app.accounts;
create view app.accounts_grouped as select count(*) as n from app.accounts group by left(iban, 3);
create view app.accounts_listed as select string_agg(id::text, ',' order by iban) as ids from app.accounts;
create view app.accounts_some as select id from app.accounts order by id limit (select ascii(right(min(iban), 1)) % 5 + 1 from app.accounts);
create view app.accounts_series as select a.id from app.accounts a, lateral generate_series(1, length(iban));
create view app.accounts_spread as select id, generate_series(1, length(iban)) is null as none from app.accounts;

-- ── a shop for statements that nobody wrote as an attack ────────────────────────────────────────────────────────────
create schema tpch;
create table tpch.region (r_regionkey int primary key, r_name char(25), r_comment varchar(152));
create table tpch.nation (n_nationkey int primary key, n_name char(25), n_regionkey int, n_comment varchar(152));
create table tpch.part (p_partkey int primary key, p_name varchar(55), p_mfgr char(25), p_brand char(10), p_type varchar(25), p_size int, p_container char(10), p_retailprice numeric(15,2), p_comment varchar(23));
create table tpch.supplier (s_suppkey int primary key, s_name char(25), s_address varchar(40), s_nationkey int, s_phone char(15), s_acctbal numeric(15,2), s_comment varchar(101));
create table tpch.partsupp (ps_partkey int, ps_suppkey int, ps_availqty int, ps_supplycost numeric(15,2), ps_comment varchar(199), primary key (ps_partkey, ps_suppkey));
create table tpch.customer (c_custkey int primary key, c_name varchar(25), c_address varchar(40), c_nationkey int, c_phone char(15), c_acctbal numeric(15,2), c_mktsegment char(10), c_comment varchar(117));
create table tpch.orders (o_orderkey int primary key, o_custkey int, o_orderstatus char(1), o_totalprice numeric(15,2), o_orderdate date, o_orderpriority char(15), o_clerk char(15), o_shippriority int, o_comment varchar(79));
create table tpch.lineitem (l_orderkey int, l_partkey int, l_suppkey int, l_linenumber int, l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2), l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44), primary key (l_orderkey, l_linenumber));
insert into tpch.region select n, (array['AFRICA','AMERICA','ASIA','EUROPE','MIDDLE EAST'])[n + 1], 'none' from generate_series(0, 4) n;
insert into tpch.nation select n, (array['ALGERIA','BRAZIL','CHINA','FRANCE','SAUDI ARABIA','GERMANY','INDIA','RUSSIA','CANADA','EGYPT'])[n + 1], n % 5, 'none' from generate_series(0, 9) n;
insert into tpch.part select n, (array['green','forest','blue'])[1 + n % 3] || ' part', 'Manufacturer#' || n % 3, 'Brand#' || (array[12,23,45])[1 + n % 3], (array['ECONOMY ANODIZED STEEL','PROMO BURNISHED COPPER','LARGE BRUSHED BRASS'])[1 + n % 3], (array[15,49,3])[1 + n % 3], (array['SM CASE','MED BOX','LG BOX'])[1 + n % 3], 900 + n, 'none' from generate_series(1, 30) n;
insert into tpch.supplier select n, 'Supplier#' || n, 'street ' || n, n % 10, '1' || n % 10 || '-555-000-' || 1000 + n, n * 100, 'comment ' || n from generate_series(1, 10) n;
insert into tpch.partsupp select p, 1 + (p + s) % 10, p * s, p + s, 'none' from generate_series(1, 30) p, generate_series(0, 1) s;
insert into tpch.customer select n, 'Customer#' || n, 'street ' || n, n % 10, (array['13','31','23','29','30','18','17'])[1 + n % 7] || '-555-000-' || 1000 + n, n * 10, (array['BUILDING','AUTOMOBILE','MACHINERY'])[1 + n % 3], 'none' from generate_series(1, 30) n;
insert into tpch.orders select n, 1 + n % 20, (array['F','O','P'])[1 + n % 3], n * 1000, date '1993-06-01' + n * 20, (array['1-URGENT','2-HIGH','5-LOW'])[1 + n % 3], 'Clerk#' || n % 4, 0, 'none' from generate_series(1, 100) n;
insert into tpch.lineitem select o, 1 + (o * 7 + l) % 30, 1 + (o + l) % 10, l, 5 + (o * l) % 45, 1000 + o * l, 0.05, 0.02, (array['R','A','N'])[1 + o % 3], (array['F','O'])[1 + o % 2], date '1993-06-01' + o * 20 + l, date '1993-06-01' + o * 20 + 5, date '1993-06-01' + o * 20 + l * 3, (array['DELIVER IN PERSON','NONE'])[1 + l % 2], (array['AIR','MAIL','SHIP','AIR REG'])[l], 'none' from generate_series(1, 100) o, generate_series(1, 4) l;

create table public.pgbench_branches (bid int primary key, bbalance int, filler char(88));
create table public.pgbench_tellers (tid int primary key, bid int, tbalance int, filler char(84));
create table public.pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84));
create table public.pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
insert into public.pgbench_branches select n, 0, 'filler' from generate_series(1, 2) n;
insert into public.pgbench_tellers select n, 1, 0, 'filler' from generate_series(1, 20) n;
insert into public.pgbench_accounts select n, 1, 0, 'filler' from generate_series(1, 200) n;
analyze tpch.region, tpch.nation, tpch.part, tpch.supplier, tpch.partsupp, tpch.customer, tpch.orders, tpch.lineitem;
