-- One row for each running gateway. A request belongs to the replica on which its session waits; one whose heart stopped
-- takes its requests with it.
create table sallyport.replicas (
  id      text primary key,
  started timestamptz not null default now(),
  beat    timestamptz not null default now()
);

-- Keys that all replicas share, as JSON Web Keys (RFC 7517).
create table sallyport.keys (
  name text primary key,
  made timestamptz not null default now(),
  jwk  text not null
);

-- What people are asked. What may name a person stands in text columns of JSON and in no index: an index holds digests.
create table sallyport.requests (
  id            text primary key,
  replica       text not null,
  status        text not null default 'waiting'
                check (status in ('waiting', 'approved', 'refused', 'expired', 'withdrawn')),
  asked         timestamptz not null default now(),
  expires       timestamptz not null,
  ended         timestamptz,
  why           text,
  ended_by      text,
  decision_id   text not null,
  revision      text not null,
  principal_key text not null,
  like_key      text not null,
  -- Digest of everything that a receipt is bound to.
  bound_key     text not null,
  -- Digests of the approvals that were asked for.
  approval_keys text[] not null,
  bound         text not null,
  approvals     text not null,
  input         text,
  effect        text,
  -- Of a request that was approved: until when the session that waited may use it, and when it did.
  receipt         text,
  receipt_expires timestamptz,
  redeemed        timestamptz
);
create index requests_waiting on sallyport.requests (expires) where status = 'waiting';
create index requests_waiting_principal on sallyport.requests (principal_key) where status = 'waiting';
create index requests_redeemable on sallyport.requests (bound_key) where status = 'approved' and redeemed is null;
create index requests_asked on sallyport.requests (asked);

create table sallyport.answers (
  request    text not null references sallyport.requests on delete cascade,
  person_key text not null,
  number     bigint generated always as identity,
  -- As people see it: an Answer, in JSON.
  answer     text not null,
  -- The grant that came with it: GrantTerms, in JSON.
  terms      text,
  primary key (request, person_key)
);

create table sallyport.grants (
  id            text primary key,
  request       text not null references sallyport.requests on delete cascade,
  given         timestamptz not null default now(),
  expires       timestamptz not null,
  uses_left     integer not null check (uses_left >= 0),
  -- Digest of what it is bound to, as far as its terms do not widen it.
  bound_key     text not null,
  approval_keys text[] not null,
  bound         text not null,
  terms         text not null,
  approvers     text not null,
  revoked       timestamptz,
  revoked_by    text
);
create index grants_usable on sallyport.grants (bound_key) where revoked is null and uses_left > 0;
