-- What has been used, one row for a principal, for each of its purposes and for each of its targets. The key is a digest; the
-- windows are the clock's own minutes and days, counted from 1970. Counts are whole numbers below 2^53.
create table sallyport.usage (
  key               text primary key,
  minute            integer not null default 0,
  minute_operations double precision not null default 0,
  minute_writes     double precision not null default 0,
  day               integer not null default 0,
  operations        double precision not null default 0,
  writes            double precision not null default 0,
  rows              double precision not null default 0,
  bytes             double precision not null default 0,
  cost              double precision not null default 0
) with (fillfactor = 50);

-- What a principal's work (all that it does for one purpose) has seen.
create table sallyport.taints (
  work  text not null,
  label text not null,
  -- Milliseconds since 1970, by the gateways' clocks.
  until double precision not null,
  primary key (work, label)
);
