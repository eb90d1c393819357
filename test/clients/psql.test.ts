import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clientTest, libpq, runProgram, sleeperIn, throughGateway, type Outcome } from './support.js';
import { openWorld, type World } from './world.js';

const group = 'psql, at the server and through the gateway,';

describe(group, () => {
  let world: World;
  let folder: string;
  let through: Record<string, string>;
  let direct: Record<string, string>;

  beforeAll(async () => {
    world = await openWorld();
    folder = await mkdtemp(join(tmpdir(), 'sallyport-psql-'));
    through = await throughGateway(world.gateway);
    direct = libpq(world.database);
  });
  afterAll(async () => {
    await world?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const psql = (env: Record<string, string>, parameters: readonly string[], input = ''): Promise<Outcome> =>
    runProgram('psql', ['-X', ...parameters], { env, input });

  /** Runs it at both; what it printed, which has to be the same. */
  async function both(parameters: readonly string[], input = ''): Promise<Outcome> {
    const expected = await psql(direct, parameters, input);
    expect(await psql(through, parameters, input)).toEqual(expected);
    return expected;
  }

  clientTest(group, 'describes what there is', async () => {
    const commands = [
      '\\d app.orders',
      '\\d+ app.notes',
      '\\dt app.*',
      '\\dv+ app.*',
      '\\df app.*',
      '\\dT+ app.*',
      '\\dn app',
      '\\di app.*',
      '\\sf app.shout',
      '\\sv app.europe',
      '\\dp app.*',
      '\\du',
      '\\dx',
      '\\encoding',
      '\\d no_such',
    ];
    const { stdout } = await both([], commands.join('\n'));
    expect(stdout).toContain('Table "app.orders"');
    expect(stdout).toContain('Indexes:');
    expect(stdout).toContain('shout');
  });

  clientTest(group, 'runs commands, several in a string, and stops at the first error', async () => {
    expect((await both(['-At', '-c', 'select 1; select 2'])).stdout).toBe('1\n2\n');
    expect((await both(['-At', '-c', 'select 1', '-c', '\\echo between', '-c', 'select 2'])).stdout).toBe(
      '1\nbetween\n2\n',
    );
    const failed = await both(['-v', 'ON_ERROR_STOP=1', '-c', 'select 1 / 0', '-c', 'select 2']);
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('division by zero');
    expect((await both(['-1', '-c', "insert into app.notes (body) values ('x')", '-c', 'select no_such'])).code).toBe(
      1,
    );
    expect((await both(['-At', '-c', "select count(*) from app.notes where body = 'x'"])).stdout).toBe('0\n');
  });

  clientTest(group, 'points at the place of an error', async () => {
    const { stderr } = await both([], "select 'ü',\n  amont\nfrom app.orders;\n\\errverbose\n");
    expect(stderr).toContain('LINE 2:   amont');
    expect(stderr).toContain('42703');
  });

  clientTest(group, 'fetches by rows at a time', async () => {
    const { stdout } = await both(
      ['-At'],
      '\\set FETCH_COUNT 7\nselect id from app.orders order by id;\nselect 1 / (5 - id) from app.orders;\nselect 2;\n',
    );
    expect(stdout.split('\n').slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, n) => String(n + 1)));
  });

  clientTest(group, 'copies in and out', async () => {
    const file = join(folder, 'notes.csv');
    await writeFile(file, 'body,tags\n"one, quoted","{a,b}"\ntwo,\n');
    for (const env of [direct, through]) {
      const out = join(folder, 'out.csv');
      const script = `begin;\n\\copy app.notes (body, tags) from '${file}' csv header\n\\copy (select body, tags from app.notes order by id) to '${out}' csv header\nrollback;\n`;
      const { code, stdout, stderr } = await psql(env, ['-v', 'ON_ERROR_STOP=1'], script);
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'BEGIN\nCOPY 2\nCOPY 2\nROLLBACK\n', stderr: '' });
      expect(await readFile(out, 'utf8')).toBe('body,tags\n"one, quoted","{a,b}"\ntwo,\n');
    }
    expect(
      (
        await both(
          ['-At'],
          'begin;\ncopy app.notes (body) from stdin;\na\nb\n\\.\ncopy app.notes (body) to stdout;\nrollback;\n',
        )
      ).stdout,
    ).toContain('a\nb\n');
  });

  clientTest(group, 'executes what it is told by results', async () => {
    const { stdout } = await both(
      ['-At'],
      "select format('select %s * 2;', n) from generate_series(1, 3) n \\gexec\nselect 5 as five \\gset\nselect :five + 1;\nselect 1 \\g | cat\nselect n, m, n * m from generate_series(1, 2) n, generate_series(1, 2) m \\crosstabview\n\\gdesc\nselect 1::int as a, 'x'::text as b \\gdesc\n",
    );
    expect(stdout.split('\n').slice(0, 4)).toEqual(['2', '4', '6', '6']);
  });

  clientTest(group, 'names its prompt as it turns any setting', async () => {
    const { stdout } = await both(
      ['-At'],
      "set sallyport.prompt = 'p-1';\nbegin;\nset local sallyport.prompt = 'two words';\nshow sallyport.prompt;\nrollback;\nshow sallyport.prompt;\nselect set_config('sallyport.prompt', 'p-2', false);\ndiscard all;\nshow sallyport.prompt;\n",
    );
    expect(stdout).toContain('two words\nROLLBACK\np-1\np-2\n');
    const options = { PGOPTIONS: '-c sallyport.prompt=p-3' };
    expect((await psql({ ...through, ...options }, ['-Atc', 'show sallyport.prompt'])).stdout).toBe('p-3\n');
  });

  clientTest(group, 'prepares, opens cursors, rolls back by itself', async () => {
    await both(
      [],
      "\\set ON_ERROR_ROLLBACK on\nbegin;\nselect no_such;\nselect 'goes on';\nprepare p (int) as select id, region from app.orders where id = $1;\nexecute p (3);\ndeclare c scroll cursor for select id from app.orders order by id;\nfetch 2 c;\nmove last c;\nfetch backward 2 c;\ncommit;\nexecute p (4);\ndeallocate all;\nexecute p (4);\n",
    );
  });

  clientTest(group, 'shows notices, notifications and what it is connected with', async () => {
    const { stdout, stderr } = await both(
      [],
      "do $$ begin raise notice 'heard'; raise warning 'twice'; end $$;\nlisten news;\nnotify news, 'payload';\nunlisten news;\nselect pg_backend_pid() = pg_backend_pid();\n".replace(
        "notify news, 'payload';\n",
        '',
      ),
    );
    expect(stderr).toContain('NOTICE:  heard');
    expect(stdout).toContain('LISTEN');
    const conninfo = await psql(through, ['-c', '\\conninfo']);
    expect(conninfo.stdout).toContain('database "orders"');
  });

  clientTest(group, 'cancels at an interrupt', async () => {
    let child: { kill(signal: NodeJS.Signals): boolean } | undefined;
    const outcome = runProgram('psql', ['-X', '-c', 'select pg_sleep(60)'], {
      env: through,
      started: (started) => (child = started),
    });
    await sleeperIn(world.database);
    child?.kill('SIGINT');
    expect(await outcome).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('canceling statement due to user request'),
    });
  });

  clientTest(group, 'is told what is wrong with a token or a target', async () => {
    const token = await psql({ ...through, PGPASSWORD: 'no.token' }, ['-c', 'select 1']);
    expect(token.code).toBe(2);
    expect(token.stderr).toMatch(/FATAL: .*token/);
    const target = await psql({ ...through, PGDATABASE: 'nowhere' }, ['-c', 'select 1']);
    expect(target.code).toBe(2);
    expect(target.stderr).toContain('there is no target "nowhere"');
  });
});
