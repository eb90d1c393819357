-- The protocol's own part of an operation as the audit holds it: what may leave the gateway for people to read elsewhere.
alter table sallyport.requests add column recorded text;

-- What is to be posted, and what was: one row for each thing that happened to a request and each webhook that wants to hear
-- of it. The key keeps replicas, which all hear of it, from posting it twice.
create table sallyport.deliveries (
  hook     text not null,
  -- "h-1 requested", "h-1 answered 0", "h-1 ended".
  event    text not null,
  type     text not null,
  request  text not null references sallyport.requests on delete cascade,
  made     timestamptz not null default now(),
  -- When it is tried next; while it is tried, until when nobody else shall.
  due      timestamptz not null default now(),
  attempts integer not null default 0,
  ended    timestamptz,
  outcome  text check (outcome in ('delivered', 'failed', 'dropped', 'obsolete')),
  primary key (hook, event)
);
create index deliveries_due on sallyport.deliveries (hook, due) where ended is null;
create index deliveries_request on sallyport.deliveries (request);
create index deliveries_ended on sallyport.deliveries (ended) where ended is not null;

-- Messages that came in and were acted upon: none is a second time.
create table sallyport.hook_messages (
  key  text primary key,
  seen timestamptz not null default now()
);
create index hook_messages_seen on sallyport.hook_messages (seen);
