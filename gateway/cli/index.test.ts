import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { runCommandLine } from './index.js';
import { configFile } from './surroundings.js';

let scratch: string;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'sallyport-cli-'));
});

afterEach(async () => {
  await rm(scratch, { recursive: true, force: true });
});

async function sallyport(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  let stdout = '';
  let stderr = '';
  const code = await runCommandLine(args, {
    env,
    fallbackFolder: scratch,
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

describe('the command line', () => {
  test('says how it is used, with every command', async () => {
    const { code, stdout } = await sallyport(['--help']);
    expect(code).toBe(0);
    for (const command of ['demo', 'run', 'check', 'test', 'build', 'classify', 'explain', 'policy']) {
      expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
    }
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain('Exit codes:');
  });

  test.each(['run', 'explain', 'check', 'classify'])('says how %s is used, with an example', async (command) => {
    const { code, stdout } = await sallyport([command, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples?:/);
  });

  test('says its version', async () => {
    expect((await sallyport(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('without a command, it is wrong use and says what there is', async () => {
    const { code, stderr } = await sallyport([]);
    expect(code).toBe(2);
    expect(stderr).toContain('Commands:');
  });

  test.each([
    [['rnu'], "unknown command 'rnu'"],
    [['run', '--nothing'], "unknown option '--nothing'"],
    [['explain'], "missing required argument 'id'"],
    [['policy', 'statsu'], "unknown command 'statsu'"],
    [['run', 'a.yaml', '-c', 'b.yaml'], "two configurations are named, 'a.yaml' and 'b.yaml'"],
  ])('%j is wrong use', async (args, message) => {
    const { code, stderr } = await sallyport(args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });

  test('suggests what was meant', async () => {
    expect((await sallyport(['rnu'])).stderr).toContain('Did you mean run?');
  });

  test('leaves the exit code of the process alone', async () => {
    const before = process.exitCode;
    await sallyport(['rnu']);
    expect(process.exitCode).toBe(before);
  });

  test('a configuration that is not there is one clear line, without a stack', async () => {
    const { code, stderr } = await sallyport(['run', '-c', join(scratch, 'nowhere.yaml')]);
    expect(code).toBe(2);
    expect(stderr).toContain('nowhere.yaml');
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test('with --verbose it says where an error came from', async () => {
    expect((await sallyport(['--verbose', 'run', '-c', join(scratch, 'nowhere.yaml')])).stderr).toMatch(/^\s+at /m);
  });
});

describe('explain', () => {
  const record = {
    version: 1,
    kind: 'intent',
    writer: 'w',
    sequence: 1,
    timestamp: '2026-11-22T09:00:00.000Z',
    decision_id: 'd-1',
    result: { outcome: 'deny' },
  };

  test('finds a decision in an audit file', async () => {
    const file = join(scratch, 'audit.jsonl');
    await writeFile(file, `${JSON.stringify({ ...record, decision_id: 'd-0' })}\n${JSON.stringify(record)}\n`);
    const { code, stdout } = await sallyport(['explain', 'd-1', '--audit', file]);
    expect(stdout).toContain('decision    deny d-1\n');
    expect(code).toBe(0);
    const { stdout: json } = await sallyport(['explain', '--json', 'd-1', '--audit', file]);
    expect(JSON.parse(json)).toMatchObject({ intent: { decision_id: 'd-1' } });
  });

  test('answers no where there is no such decision', async () => {
    const file = join(scratch, 'audit.jsonl');
    await writeFile(file, `${JSON.stringify(record)}\n`);
    const { code, stderr } = await sallyport(['explain', 'd-9', '--audit', file]);
    expect(stderr).toContain('no decision "d-9"');
    expect(code).toBe(1);
  });
});

describe('the configuration file', () => {
  const around = (env: NodeJS.ProcessEnv) => ({
    env,
    fallbackFolder: scratch,
    stdout: process.stdout,
    stderr: process.stderr,
  });

  test('is the one that was named, then the one of the environment, then ./sallyport.yaml', () => {
    expect(configFile('/a.yaml', around({ SALLYPORT_CONFIG: '/b.yaml' }))).toBe('/a.yaml');
    expect(configFile(undefined, around({ SALLYPORT_CONFIG: '/b.yaml' }))).toBe('/b.yaml');
    expect(configFile(undefined, around({ SALLYPORT_CONFIG: '' }))).toBe(join(process.cwd(), 'sallyport.yaml'));
  });

  test("is looked for in the package's folder where the current one has none", async () => {
    await writeFile(join(scratch, 'only-there.yaml'), '');
    expect(configFile('only-there.yaml', around({}))).toBe(join(scratch, 'only-there.yaml'));
  });
});
