-- What the cases in this folder are about.
create schema app;
create type app.address as (street text, town text);
create table app.people (id int primary key, name text not null, ssn text, born date, home app.address, tags text[], notes jsonb);
create table app.cards (person int, number text, kind text, limit_ numeric(10,2), person_name text generated always as ('card of ' || person) stored);
create table app.animals (id int, name text);
create table app.dogs (breed text) inherits (app.animals);
create table app.days (at date, what text) partition by range (at);
create table app.days_2026 partition of app.days for values from ('2026-01-01') to ('2027-01-01');
create function app.shout(text) returns text language sql immutable as 'select upper($1)';
