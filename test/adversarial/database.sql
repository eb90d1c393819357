-- What the attempts in attempts.yaml are made against. XSECRETX marks every value that no agent may ever see.
create schema app;
create schema scratch;

create table app.orders (id int primary key, region text not null, amount numeric(10,2), note text);
insert into app.orders select n, case when n % 2 = 0 then 'EU' else 'US' end, n * 1.5, 'order ' || n from generate_series(1, 100) n;
create table app.customers (id int primary key, name text, email text);
insert into app.customers select n, 'customer ' || n, 'c' || n || '@example.com' from generate_series(1, 20) n;

create table app.secrets (id int primary key, value text not null, grp text);
alter table app.secrets alter value set storage external;
insert into app.secrets values (1, 'XSECRETX-one', 'a'), (2, 'XSECRETX-two', 'a'), (3, repeat('XSECRETX-long', 1000), 'b');
analyze app.secrets;

-- Views, however deep; what a view calls; a copy.
create view app.secrets_view as select * from app.secrets;
create view app.deep_view as select value as v from app.secrets_view;
create view app.count_view as select count(*) n from app.secrets where value like 'X%';
create view app.subquery_view as select o.id, (select value from app.secrets s where s.id = o.id) from app.orders o;
create view app.orders_view as select id, region, amount from app.orders;
create materialized view app.secrets_copy as select * from app.secrets;

-- Relatives.
create table app.documents (id int, body text);
create table app.secret_documents () inherits (app.documents);
insert into app.secret_documents values (1, 'XSECRETX-child');
create table app.events (id int, kind text, body text) partition by list (kind);
create table app.events_public partition of app.events for values in ('public');
create table app.events_secret partition of app.events for values in ('secret');
insert into app.events values (1, 'public', 'hello'), (2, 'secret', 'XSECRETX-partition');
create table app.secret_children () inherits (app.secrets);
insert into app.secret_children values (9, 'XSECRETX-heir', 'h');

-- Code that reads what its caller may not.
create function app.read_secret() returns text language sql security definer as $$ select value from app.secrets where id = 1 $$;
create function app.read_dynamic() returns text language plpgsql as $$ declare v text; begin execute 'select value from app.sec' || 'rets where id = 1' into v; return v; end $$;
create function app.lying(int) returns text language plpgsql immutable as $$ begin return (select value from app.secrets where id = $1); end $$;
create function app.secret_rows() returns setof app.secrets language sql as $$ select * from app.secrets $$;
create procedure app.copy_secret() language sql as $$ update app.orders set note = (select value from app.secrets where id = 1) where id = 1 $$;
create function app.same_secret(int, int) returns boolean language sql as $$ select exists (select from app.secrets where id = $1 and value like 'XSECRETX%') $$;
create operator app.=== (leftarg = int, rightarg = int, function = app.same_secret);
create operator app.= (leftarg = text, rightarg = text, function = pg_catalog.texteq);
create type app.wrapped as (v text);
create function app.unwrap(int) returns app.wrapped language sql as $$ select row(value)::app.wrapped from app.secrets where id = $1 $$;
create cast (int as app.wrapped) with function app.unwrap(int);
create function app.gather(text, int) returns text language sql as $$ select coalesce($1, '') || value from app.secrets where id = 1 $$;
create aggregate app.gathered(int) (sfunc = app.gather, stype = text);
create aggregate app.windowed(int) (sfunc = app.gather, stype = text, msfunc = app.gather, minvfunc = app.gather, mstype = text);
create domain app.checked as text check (app.read_secret() is not null and value <> '');
create function app.lower(text) returns text language sql as $$ select value from app.secrets where id = 1 $$;
create function app.region_of(app.orders) returns text language sql as $$ select value from app.secrets where id = 1 $$;

create table app.with_default (id int, v text default app.read_secret());
create table app.with_generated (id int, v text generated always as (app.lying(id)) stored);
create table app.with_virtual (id int, v int generated always as (length(id::text)) virtual);
create table app.with_check (id int, v app.checked);
create table app.with_trigger (id int, v text);
create function app.fill() returns trigger language plpgsql as $$ begin new.v := (select value from app.secrets where id = 1); return new; end $$;
create trigger fill before insert or update on app.with_trigger for each row execute function app.fill();
insert into app.with_trigger values (1, '');
update app.with_trigger set v = '';
create table app.with_rule (id int, v text);
create rule tell as on insert to app.with_rule do also insert into app.orders select 5000 + id, 'EU', 1, value from app.secrets;
create table app.with_index (id int);
create index on app.with_index (app.lying(id));
create table app.with_policy (id int);
alter table app.with_policy enable row level security;
alter table app.with_policy force row level security;
create policy seen on app.with_policy using (app.read_secret() is not null);
create table app.parents (id int primary key);
create table app.secret_heirs (id int references app.parents on delete cascade on update cascade);
insert into app.parents values (1);
insert into app.secret_heirs values (1);

-- A job that policy trusts although nobody can read what it does: it may do what it likes with names behind the gateway's back.
create table app.jobs (sql text);
create function app.job(sql text) returns text language plpgsql as $$ begin execute sql; return 'done'; end $$;
create function app.job_cursor(name text, sql text) returns text language plpgsql as $$ declare c refcursor := name; begin open c for execute sql; return name; end $$;
create type app.holder as (v app.checked);
create function app.tell() returns trigger language plpgsql as $$ begin insert into app.orders select 6000 + id, 'EU', 1, value from app.secrets; return new; end $$;
create view app.trigger_view as select id, region from app.orders;
create trigger tell instead of insert on app.trigger_view for each row execute function app.tell();
create table app.owners (id int primary key);
create table app.secret_heirs_of_owners (id int references app.owners on delete set null);
insert into app.owners values (1);
insert into app.secret_heirs_of_owners values (1);
