-- Copies of audit records, where audit.sinks has {postgres: state}. The files are the record; a row is for whoever asks with SQL.
create table sallyport.audit_records (
  hash text primary key,
  writer text not null,
  sequence bigint not null,
  kind text not null,
  "timestamp" timestamptz not null,
  decision_id text,
  target text,
  -- json and not jsonb: the text stays as it is, and with it its hash.
  record json not null
);
create index on sallyport.audit_records ("timestamp");
create index on sallyport.audit_records (decision_id) where decision_id is not null;

-- How far the chains of each gateway have come, as it has signed it: kept where the files are not.
create table sallyport.audit_heads (
  store text primary key,
  place text not null,
  ledger json not null,
  changed timestamptz not null default now()
);
