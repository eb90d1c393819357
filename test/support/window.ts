/**
 * What somebody may make of the catalog around the gateway, so that a statement that reads nothing masked does: a fixture for the tests of
 * what is judged by one catalog and met by another.
 */

export const policy = `package policy.postgres

allow contains {"code": "everything"} if {
	input.operation.action != "connect"
	not input.operation.opaque
}

allow contains {"code": "connect"} if input.operation.action == "connect"

limit contains {"rows": 1000, "bytes": 100000, "seconds": 60, "code": "some"} if input.session.client.application == "limited"

approval contains {"code": "seen_first", "groups": ["dba"], "preview": "effect"} if {
	input.session.client.application == "held"
	input.operation.action == "write"
}

masked := {"app.people.ssn", "app.masked.note", "app.kid.note"}

mask contains {"resource": name, "with": "redact", "code": "pii"} if {
	some resource in input.operation.resources
	name := resource.name
	name in masked
}
`;

export const sql = `create schema app;
  create schema mine;
  create table app.people (id int primary key, name varchar, ssn text);
  insert into app.people select n, 'name' || n, 'canary' || n from generate_series(1, 3) n;
  create table app.plain (id int not null, note text);
  insert into app.plain values (1, 'plain');
  create table app.masked (id int, note text);
  insert into app.masked values (1, 'canary');
  create table app.taken (id int not null, note text);
  create table app.kid (id int not null, note text);
  insert into app.kid values (1, 'canary');
  create table app.rich (id int not null references app.people, note text);
  insert into app.rich values (1, 'plain');
  create table app.sprout () inherits (app.rich);
  create rule other as on delete to app.rich do also notify nobody;
  create policy other on app.rich using (true);
  alter table app.rich enable row level security, force row level security;
  create view app.v as select id, note from app.plain;
  create view app.over as select id, note from app.v;
  create function mine.other(text) returns text language sql as 'select $1';
  create type app.pair as (a int, b int)`;

/** A statement, what somebody makes of it around the gateway, and how that is undone. */
export const changes: readonly (readonly [what: string, statement: string, change: string, back: string])[] = [
  [
    'a function that fits better',
    'select lower(name) from app.people',
    `create function mine.lower(varchar) returns text language sql as 'select ssn from app.people limit 1'`,
    'drop function mine.lower',
  ],
  [
    'an operator that fits better',
    'select name || name from app.people',
    `create function mine.glue(varchar, varchar) returns text language sql as 'select ssn from app.people limit 1';
     create operator mine.|| (leftarg = varchar, rightarg = varchar, function = mine.glue)`,
    'drop function mine.glue cascade',
  ],
  [
    'a cast',
    'select row(1, 2)::app.pair::text from app.people',
    `create function mine.shown(app.pair) returns text language sql as 'select ssn from app.people limit 1';
     create cast (app.pair as text) with function mine.shown(app.pair)`,
    'drop function mine.shown cascade',
  ],
  [
    'a view that reads something else',
    'select note from app.v',
    'create or replace view app.v as select id, note from app.masked',
    'create or replace view app.v as select id, note from app.plain',
  ],
  [
    'a view below a view',
    'select note from app.over',
    'create or replace view app.v as select id, note from app.masked',
    'create or replace view app.v as select id, note from app.plain',
  ],
  [
    'a name that is found earlier',
    'select note from plain',
    'create view mine.plain as select * from app.masked',
    'drop view mine.plain',
  ],
  [
    'a view in the place of a table',
    'select note from app.plain',
    'alter table app.plain rename to before; create view app.plain as select * from app.masked',
    'drop view app.plain; alter table app.before rename to plain',
  ],
  [
    'a column of another name',
    'select name from app.people',
    'alter table app.people rename column name to alias; alter table app.people rename column ssn to name',
    'alter table app.people rename column name to ssn; alter table app.people rename column alias to name',
  ],
  [
    'a child',
    'select note from app.plain',
    'alter table app.kid inherit app.plain',
    'alter table app.kid no inherit app.plain',
  ],
  [
    'a policy of rows',
    'select note from app.plain',
    `create function mine.told() returns bool language plpgsql as $$ begin raise notice '%', (select ssn from app.people limit 1); return true; end $$;
     alter table app.plain force row level security, enable row level security;
     create policy p on app.plain using (mine.told())`,
    `drop policy p on app.plain; alter table app.plain no force row level security, disable row level security; drop function mine.told`,
  ],
  [
    'a trigger',
    `update app.plain set id = id returning note`,
    `create function mine.put() returns trigger language plpgsql as $$ begin new.note := (select ssn from app.people limit 1); return new; end $$;
     create trigger t before update on app.plain for each row execute function mine.put()`,
    `drop function mine.put cascade; update app.plain set note = 'plain'`,
  ],
  [
    'a rule',
    `update app.plain set id = id returning note`,
    `create rule r as on update to app.plain do instead update app.people set name = name returning id, ssn`,
    'drop rule r on app.plain',
  ],
]; // prettier-ignore

/** What is new to a table that has such already: no row changes that an older snapshot shows. */
export const furthers: typeof changes = [
  ...changes
    .filter(([what]) => /^(a child|a trigger|a rule)$/.test(what))
    .map(
      ([what, ...told]) =>
        [`a further ${what.slice(2)}`, ...told.map((sql) => sql.replaceAll('app.plain', 'app.rich'))] as [
          string,
          string,
          string,
          string,
        ],
    ),
  [
    'a further policy',
    'select note from app.rich',
    `create function mine.told() returns bool language plpgsql as $$ begin raise notice '%', (select ssn from app.people limit 1); return true; end $$;
     create policy p on app.rich using (mine.told())`,
    'drop policy p on app.rich; drop function mine.told',
  ],
  [
    'another condition of a policy',
    'select note from app.rich',
    'create function mine.told() returns bool language sql as $$ select true $$; alter policy other on app.rich using (mine.told())',
    'alter policy other on app.rich using (true); drop function mine.told',
  ],
];

/** The same of what is copied in: by a row that it makes, or that it takes away to where it can be read. */
export const changesIn: typeof changes = [
  [
    'a trigger that writes another value',
    'copy app.taken from stdin',
    `create function mine.put() returns trigger language plpgsql as $$ begin new.note := (select ssn from app.people limit 1); return new; end $$;
     create trigger t before insert on app.taken for each row execute function mine.put()`,
    'drop function mine.put cascade; truncate app.taken',
  ],
  [
    'a trigger that tells one',
    'copy app.taken from stdin',
    `create function mine.told() returns trigger language plpgsql as $$ begin raise notice '%', (select ssn from app.people limit 1); return null; end $$;
     create trigger t after insert on app.taken execute function mine.told()`,
    'drop function mine.told cascade; truncate app.taken',
  ],
  [
    'a view in the place of a table',
    'copy app.taken from stdin',
    `create function mine.told() returns trigger language plpgsql as $$ begin raise notice '%', (select ssn from app.people limit 1); return new; end $$;
     alter table app.taken rename to before; create view app.taken as select * from app.plain;
     create trigger t instead of insert on app.taken for each row execute function mine.told()`,
    'drop view app.taken; drop function mine.told; alter table app.before rename to taken; truncate app.taken',
  ],
]; // prettier-ignore
