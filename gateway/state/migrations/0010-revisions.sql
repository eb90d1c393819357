-- The revision of the policy that each replica enforces, and since when.
create table sallyport.revisions (
  replica  text primary key references sallyport.replicas on delete cascade,
  revision text not null,
  since    timestamptz not null
);
