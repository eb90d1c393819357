-- Short secrets that stand for a token of the gateway's own. Neither the secret nor the token can be had from here: of the
-- secret there are the keys that SCRAM checks it with (RFC 5803), and the token is encrypted with what only the secret gives.
create table sallyport.tickets (
  id         text primary key,
  -- A digest of whose it is.
  owner      text not null,
  target     text not null,
  made       timestamptz not null default now(),
  expires    timestamptz not null,
  salt       text not null,
  iterations integer not null,
  stored_key text not null,
  server_key text not null,
  sealed     text not null
);
create index tickets_expires on sallyport.tickets (expires);
create index tickets_owner on sallyport.tickets (owner);
