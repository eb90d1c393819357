-- Live sessions of all replicas, as each last wrote them down.
create table sallyport.sessions (
  id      text primary key,
  replica text not null references sallyport.replicas on delete cascade,
  started timestamptz not null,
  info    text not null
);
create index sessions_replica on sallyport.sessions (replica);

-- Orders to end sessions: every replica carries each out once, on the sessions that live there.
create table sallyport.kills (
  number  bigint generated always as identity primary key,
  given   timestamptz not null default now(),
  "order" text not null
);

-- Tokens that are refused before they expire: one token by its id, or all of a subject that were issued until then.
create table sallyport.revocations (
  key     text primary key,
  given   timestamptz not null default now(),
  -- Nothing that it refuses is valid any longer.
  expires timestamptz not null,
  until   timestamptz,
  info    text not null
);
create index revocations_expires on sallyport.revocations (expires);
