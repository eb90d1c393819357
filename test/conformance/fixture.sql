-- What the exchanges of the corpus find in their database.
create schema app;
create type app.mood as enum ('sad', 'ok', 'happy');
create type app.pair as (left_part int, right_part text);
create domain app.positive as int check (value > 0);
create domain app.email as text check (value like '%@%') not null;
create type app.span as range (subtype = float8);

create table app.orders (id int primary key, region text not null, amount numeric(10, 2), placed date);
insert into app.orders
select n, case when n % 2 = 0 then 'EU' else 'US' end, n * 1.5, date '2026-01-01' + n from generate_series(1, 50) n;
create table app.lines (order_id int references app.orders deferrable initially deferred, item text, price numeric check (price >= 0));
create table app.things (id serial primary key, name text unique, mood app.mood default 'ok', made timestamptz default '2026-01-01 00:00:00+00');
create table app.notes (id int generated always as identity, body text, tags text[], pair app.pair);
create table app.wide (id int, blob text);
create view app.europe as select id, amount from app.orders where region = 'EU';
create materialized view app.totals as select region, sum(amount) as total from app.orders group by region;
create table app.parted (id int, kind text) partition by list (kind);
create table app.parted_a partition of app.parted for values in ('a');
create table app.parted_b partition of app.parted for values in ('b');

create function app.shout(words text) returns text language sql immutable as $$ select upper(words) || '!' $$;
create function app.tell(words text) returns void language plpgsql as $$
begin
  raise notice '%', words;
  raise warning 'and again: %', words using detail = 'more of it', hint = 'listen';
end $$;
create function app.fail(state text) returns int language plpgsql as $$
begin
  raise exception 'it fails' using errcode = state, detail = 'as asked', hint = 'ask for something else',
    column = 'c', constraint = 'k', datatype = 't', table = 'r', schema = 's';
end $$;
create function app.series(upto int) returns table (n int, square bigint) language sql stable
  as $$ select n, n::bigint * n from generate_series(1, upto) n $$;
create procedure app.add(inout total int, more int) language plpgsql as $$ begin total := total + more; end $$;
create procedure app.save(thing text) language plpgsql as $$
begin
  insert into app.things (name) values (thing);
  commit;
end $$;
create function app.stamp() returns trigger language plpgsql as $$
begin
  raise notice 'a row of % is about to change', tg_table_name;
  return new;
end $$;
create table app.watched (id int, value text);
create trigger stamp before insert or update on app.watched for each row execute function app.stamp();

-- Returns when another session of this database sleeps: then a request to cancel finds it at the same place every time.
create procedure app.await_sleeper() language plpgsql as $$
begin
  loop
    exit when exists (
      select from pg_stat_activity
      where wait_event = 'PgSleep' and datname = current_database() and pid <> pg_backend_pid()
    );
    perform pg_sleep(0.005);
    perform pg_stat_clear_snapshot();
  end loop;
end $$;
