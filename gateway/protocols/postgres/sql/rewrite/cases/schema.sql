-- What the cases beside this file are about. Every masked cell holds a word with "canary" in it, or a number from 900000000 on.
create schema app;
create type app.mood as enum ('sad', 'ok');
create table app.customers (id int primary key, name text not null, email varchar(60), ssn text, phone text,
  tenant text not null default 'eu', balance numeric(12,2) default 0, mood app.mood default 'ok');
insert into app.customers values
  (1, 'Ann', 'ann.canary@x.test', 'canary-1', '900000001', 'eu', 10, 'ok'),
  (2, 'Bob', 'bob.canary@x.test', 'canary-2', '900000002', 'us', 20, 'sad'),
  (3, 'Cy', null, 'canary-3', null, 'eu', 30, null),
  (4, 'Dee', 'dee.canary@x.test', 'canary-4', '900000004', 'us', 40, 'ok');
create table app.orders (id int primary key, customer_id int references app.customers on delete cascade, total numeric, note text);
insert into app.orders values (10, 1, 5, 'a'), (11, 1, 7, 'b'), (12, 2, 9, 'c'), (13, null, 1, 'd');
create table app.people (id int, name text, email text);
create table app.staff (salary int) inherits (app.people);
insert into app.people values (1, 'p', 'p.canary');
insert into app.staff values (2, 's', 's.canary', 900000010);
create table app.events (id int, at date, payload text) partition by range (id);
create table app.events_low partition of app.events for values from (0) to (10);
create table app.events_high partition of app.events for values from (10) to (20);
insert into app.events values (1, '2020-01-01', 'e.canary'), (11, '2021-01-01', 'f.canary');
create table app.computed (id int, word text, loud text generated always as (upper(word)) stored, twice int generated always as (id * 2) stored);
insert into app.computed (id, word) values (1, 'g.canary'), (2, 'h.canary');
create table app.docs (id int primary key, body jsonb, tags text[]);
insert into app.docs values (1, '{"k": "i.canary"}', array['j.canary']), (2, null, null);
create table app."Odd ""Name" (id int, "select" text, "Email" text);
insert into app."Odd ""Name" values (1, 'x', 'k.canary');
create table app.plain (id int primary key, note text);
insert into app.plain values (1, 'one'), (2, 'two');
create view app.contacts as select id, name, email from app.customers;
create view app.shouted as select id, upper(email) as email, name from app.customers;
create view app.nested as select id, email as mail from app.contacts;
create view app.found as select id, name from app.customers where email like 'a%';
create view app.per_tenant as select tenant, count(*) as n from app.customers group by tenant;
create view app.latest as select id, name, email from app.customers order by email;
create view app.bought as select c.id, c.name, o.total from app.customers c join app.orders o on o.customer_id = c.id where c.email like '%';
create materialized view app.frozen as select id, name, email from app.customers;
create view app.staff_mail as select id, email as mail, salary from app.staff;
create view app.staff_found as select id, salary from app.staff where email like 's%';
create view app.staff_again as select mail from app.staff_mail;
create view app.low_payloads as select id, payload from app.events_low;
create view app.low_found as select id from app.events_low where payload like 'e%';
create view app.people_found as select id from app.people where email like '%canary%';
create materialized view app.frozen_staff as select id, email, upper(email) as loud from app.staff;
create materialized view app.frozen_found as select id from app.staff where email like '%canary%';
create table app.members (id int primary key, email text unique, ssn text, name text, constraint only_one unique (name, ssn));
create unique index members_ssn on app.members (lower(ssn));
insert into app.members values (1, 'm.canary', 'l.canary', 'Max'), (2, null, null, 'Moe');
create view app.member_names as select id, name from app.members;
