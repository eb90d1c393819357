-- Prompts that were registered ahead of the operations that name them: text, trace and whose they are stand in JSON, and in no
-- index.
create table sallyport.prompts (
  id      text primary key,
  made    timestamptz not null default now(),
  expires timestamptz not null,
  prompt  text not null
);
create index prompts_expires on sallyport.prompts (expires);
create index prompts_made on sallyport.prompts (made);
