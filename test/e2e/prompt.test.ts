import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { join } from 'node:path';
import pg from 'pg';
import { searchAudit } from '../../gateway/audit/index.js';
import { describe as explain } from '../../gateway/cli/explain.js';
import { prompt_chars_max } from '../../gateway/protocols/postgres/prompt.js';
import { until } from '../support/approvals-side.js';
import { startTestGateway, type TestGateway } from '../support/gateway.js';
import { createDatabase, type TestDatabase } from '../support/postgres.js';
import { errorOf, message } from '../support/wire.js';

/** A session that names its prompt by the setting sallyport.prompt: what policy and the record have for each of its statements. */

const policy = {
  'postgres.rego': `package policy.postgres

allow contains {"code": "everything"} if input.version == 1

deny contains {"code": "needs_ticket"} if {
	input.operation.action == "delete"
	object.get(input, ["prompt", "id"], "") != "ticket-7"
}
`,
};

let database: TestDatabase;
let gateway: TestGateway;
let agent: pg.Client;
let probes = 0;

beforeAll(async () => {
  database = await createDatabase({ sql: 'create table notes (n int)' });
  gateway = await startTestGateway({ database, policy });
  agent = await connect();
});
beforeEach(async () => {
  await agent.query('rollback');
  await agent.query('reset sallyport.prompt');
});
afterAll(async () => {
  await agent?.end().catch(() => undefined);
  await gateway?.close();
  await database?.drop();
});

async function connect(settings: Partial<pg.ClientConfig> = {}): Promise<pg.Client> {
  const client = new pg.Client({ ...(await gateway.connection()), ...settings });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

interface Intent {
  readonly decision_id?: string;
  readonly personal?: { readonly prompt?: object; readonly operation?: { readonly statement?: string } };
}

const isIntentOf = (record: Record<string, unknown>, statement: string) =>
  record['kind'] === 'intent' && (record as Intent).personal?.operation?.statement === statement;

/** What the record of a statement says of its prompt, once it is there. */
async function promptOf(statement: string): Promise<object | undefined> {
  let found: Intent | undefined;
  await until(async () => {
    found = (await gateway.records()).findLast((record) => isIntentOf(record, statement));
    return found !== undefined;
  });
  return found?.personal?.prompt;
}

/** The prompt that the session's next statement is recorded under. */
async function now(client = agent): Promise<object | undefined> {
  const statement = `select ${String(++probes)} as probe`;
  await client.query(statement);
  return promptOf(statement);
}

test('a value of one word is its id, anything else its text, and none is no prompt', async () => {
  expect(await now()).toBeUndefined();
  await agent.query("set sallyport.prompt = 'ticket-7'");
  expect(await now()).toEqual({ id: 'ticket-7' });
  expect((await agent.query('show sallyport.prompt')).rows).toEqual([{ 'sallyport.prompt': 'ticket-7' }]);
  await agent.query("set session sallyport.prompt to 'Tidy up what billing left'");
  expect(await now()).toEqual({ text: 'Tidy up what billing left' });
  expect((await agent.query("select current_setting('sallyport.prompt') as it")).rows).toEqual([
    { it: 'Tidy up what billing left' },
  ]);
  await agent.query('reset sallyport.prompt');
  expect(await now()).toBeUndefined();
});

test('set_config says it too, with its parameter, also where it was prepared', async () => {
  await agent.query("select set_config('sallyport.prompt', 'constant', false)");
  expect(await now()).toEqual({ id: 'constant' });
  await agent.query("select set_config('sallyport.prompt', $1, false)", ['a parameter']);
  expect(await now()).toEqual({ text: 'a parameter' });
  await agent.query("prepare say as select set_config('sallyport.prompt', $1, false)");
  expect(await now()).toEqual({ text: 'a parameter' });
  await agent.query("execute say('prepared')");
  expect(await now()).toEqual({ id: 'prepared' });
  await agent.query('deallocate say');
});

test('it lasts as every setting does: SET LOCAL, savepoints, a rollback and DISCARD ALL take it back', async () => {
  await agent.query("set sallyport.prompt = 'outer'");
  await agent.query('begin');
  await agent.query("set local sallyport.prompt = 'local'");
  expect(await now()).toEqual({ id: 'local' });
  await agent.query('savepoint s');
  await agent.query("set sallyport.prompt = 'inner'");
  expect(await now()).toEqual({ id: 'inner' });
  await agent.query('rollback to s');
  expect(await now()).toEqual({ id: 'local' });
  await agent.query('commit');
  expect(await now()).toEqual({ id: 'outer' });

  await agent.query('begin');
  await agent.query("set sallyport.prompt = 'undone'");
  await expect(agent.query('select 1 / 0')).rejects.toThrow('division by zero');
  await agent.query('rollback');
  expect(await now()).toEqual({ id: 'outer' });

  await agent.query('discard all');
  expect(await now()).toBeUndefined();
});

test('where it is the first word of a transaction, its isolation may still be set', async () => {
  await agent.query("set sallyport.prompt = 'before'");
  await agent.query('begin');
  await agent.query("set local sallyport.prompt = 'serial'");
  await agent.query('set transaction isolation level serializable');
  expect(await now()).toEqual({ id: 'serial' });
  await agent.query('commit');
});

test('a string that sets it is judged whole under what it sets, and a comment of a statement goes before', async () => {
  await expect(agent.query('delete from notes')).rejects.toThrow('needs_ticket');
  const both = "set sallyport.prompt = 'ticket-7'; delete from notes";
  await agent.query(both);
  expect(await promptOf(both)).toEqual({ id: 'ticket-7' });
  await agent.query('delete from notes');
  const commented = "delete from notes /*sallyport_prompt='for%20this%20one'*/";
  await agent.query(commented);
  expect(await promptOf(commented)).toEqual({ id: 'ticket-7', text: 'for this one' });
});

test('it is what the start-up packet says until the session says otherwise, and again after RESET', async () => {
  const client = await connect({ options: '-c sallyport.prompt=ticket-7', application_name: 'prompt:other' });
  try {
    expect(await now(client)).toEqual({ id: 'ticket-7' });
    await client.query("set sallyport.prompt = 'later'");
    expect(await now(client)).toEqual({ id: 'later' });
    expect(await gateway.gateway.sessions.list()).toContainEqual(expect.objectContaining({ prompt: { id: 'later' } }));
    await client.query('reset all');
    expect(await now(client)).toEqual({ id: 'ticket-7' });
  } finally {
    await client.end();
  }
});

test('what is pipelined behind it is judged under it', async () => {
  const client = await gateway.open();
  try {
    const sql = ["set sallyport.prompt = 'ticket-7'", 'delete from notes', 'select 99 as last'];
    const frames = await client.exchange(
      ...sql.flatMap((text) => [message.parse(text), message.bind(), message.execute()]),
      message.sync(),
    );
    expect(errorOf(frames)).toBeUndefined();
    expect(await promptOf('select 99 as last')).toEqual({ id: 'ticket-7' });
  } finally {
    await client.end();
  }
});

test('the search for a prompt finds it, and the explanation shows it', async () => {
  await agent.query("set sallyport.prompt = 'Close the books of 2026'");
  const books = 'select 2026 as books';
  await agent.query(books);
  expect(await promptOf(books)).toEqual({ text: 'Close the books of 2026' });
  const found: Intent[] = [];
  for await (const { record } of searchAudit([join(gateway.folder, 'audit.jsonl')], { prompt: 'BOOKS OF' }))
    found.push(record as Intent);
  expect(found.map(({ personal }) => personal?.operation?.statement)).toEqual([
    books,
    "set sallyport.prompt = 'Close the books of 2026'",
  ]);
  expect(explain(found.slice(0, 1) as never)).toContain('prompt      Close the books of 2026');
  await agent.query("set sallyport.prompt = 'ticket-7'");
  await now();
  const last = (await gateway.records()).filter((record) => isIntentOf(record, `select ${String(probes)} as probe`));
  expect(explain(last as never)).toContain('prompt      id ticket-7');
});

test('a text that is too long, one made of rows, and the other settings of the gateway are refused', async () => {
  const long = 'x'.repeat(prompt_chars_max + 1);
  await expect(agent.query(`set sallyport.prompt = '${long}'`)).rejects.toMatchObject({
    code: '22023',
    hint: 'Register a longer prompt with POST /v1/prompts, and set the id that it answers.',
  });
  await expect(connect({ options: `-c sallyport.prompt=${long}` })).rejects.toThrow('at most');
  await agent.query("select set_config('sallyport.prompt', $1, false)", [`${long} y`]);
  expect(await now()).toEqual({ text: long.slice(0, prompt_chars_max) });
  await agent.query('reset sallyport.prompt');
  await expect(agent.query("select set_config('sallyport.prompt', n::text, false) from notes")).rejects.toThrow(
    'has to be a constant or a parameter',
  );
  await expect(agent.query("set sallyport.mask_key = '00'")).rejects.toThrow("gateway's own");
  await expect(agent.query("alter role current_user set sallyport.prompt = 'x'")).rejects.toThrow("gateway's own");
  await expect(
    agent.query("create function f() returns int language sql set sallyport.prompt = 'x' as 'select 1'"),
  ).rejects.toThrow("gateway's own");
});
