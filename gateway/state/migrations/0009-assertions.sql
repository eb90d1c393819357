-- SAML assertions that were brought already: a digest of issuer and ID, and until when it has to be known.
create table sallyport.assertions (
  key     text primary key,
  expires timestamptz not null
);
create index assertions_expires on sallyport.assertions (expires);
