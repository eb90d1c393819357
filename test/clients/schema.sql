create schema app;
create type app.mood as enum ('sad', 'ok', 'happy');
create table app.orders (id int primary key, region text not null, amount numeric(10, 2), placed date);
insert into app.orders
select n, case when n % 2 = 0 then 'EU' else 'US' end, n * 1.5, date '2026-01-01' + n from generate_series(1, 100) n;
create table app.notes (id int generated always as identity primary key, body text, tags text[], data jsonb, mood app.mood);
create view app.europe as select id, amount from app.orders where region = 'EU';
comment on table app.orders is 'what was ordered';
create function app.shout(words text) returns text language sql immutable as $$ select upper(words) || '!' $$;
