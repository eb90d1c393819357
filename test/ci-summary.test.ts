import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const root = join(import.meta.dirname, '..');
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'sallyport-ci-'));
  await writeFile(
    join(scratch, 'skips.json'),
    JSON.stringify([
      { test: 'needs an absent client', needs: 'a client that nobody has', unless: ['no-such-program-anywhere'] },
      { test: 'needs a present client', needs: 'node', unless: [process.execPath, '--version'] },
    ]),
  );
});

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

type Status = 'passed' | 'failed' | 'pending' | 'todo';

async function summary(tests: readonly (readonly [Status, string])[], ...more: string[]) {
  const assertionResults = tests.map(([status, fullName]) => ({ status, fullName }));
  const suite = { name: join(root, 'some.test.ts'), status: 'passed', message: '', assertionResults };
  const file = join(scratch, 'jest.json');
  await writeFile(file, JSON.stringify({ testResults: [suite] }));
  return summarise(file, ...more);
}

function summarise(file: string, ...more: string[]) {
  const run = spawnSync(
    process.execPath,
    [
      join(root, 'scripts/ci-summary.mjs'),
      file,
      '--expected-skips',
      join(scratch, 'skips.json'),
      '--tests-min',
      '1',
      ...more,
    ],
    { encoding: 'utf8' },
  );
  return { code: run.status, last: run.stdout.trimEnd().split('\n').at(-1), all: run.stdout };
}

describe('the summary of a run', () => {
  test('counts tests and checks together', async () => {
    const { code, last } = await summary(
      [
        ['passed', 'a'],
        ['passed', 'b'],
      ],
      '--checks-passed',
      '5',
    );
    expect(last).toBe('7 passed, 0 failed, 0 skipped');
    expect(code).toBe(0);
  });

  test('fails where a test failed, and names it', async () => {
    const { code, last, all } = await summary([
      ['passed', 'a'],
      ['failed', 'the b'],
    ]);
    expect(last).toBe('1 passed, 1 failed, 0 skipped');
    expect(all).toContain('failed: some.test.ts: the b');
    expect(code).toBe(1);
  });

  test('fails where a check failed', async () => {
    expect((await summary([['passed', 'a']], '--checks-failed', '1')).code).toBe(1);
  });

  test('lets a test skip whose client is missing, and names it', async () => {
    const { code, last, all } = await summary([
      ['passed', 'a'],
      ['pending', 'needs an absent client'],
    ]);
    expect(last).toBe('1 passed, 0 failed, 1 skipped');
    expect(all).toContain('skipped: needs an absent client (needs a client that nobody has)');
    expect(code).toBe(0);
  });

  test('fails where a test was skipped although its client is there', async () => {
    expect((await summary([['pending', 'needs a present client']])).code).toBe(1);
  });

  test.each(['pending', 'todo'] as const)('fails where a test is %s that nobody expected', async (status) => {
    expect(
      (
        await summary([
          ['passed', 'a'],
          [status, 'forgotten'],
        ])
      ).last,
    ).toBe('1 passed, 1 failed, 0 skipped');
  });

  test('fails with fewer tests than there have to be', async () => {
    const { code, all } = await summary([['passed', 'a']], '--tests-min', '2');
    expect(all).toContain('only 1 tests were found');
    expect(code).toBe(1);
  });

  test('fails where the runner failed though every test passed', async () => {
    expect((await summary([['passed', 'a']], '--jest-exit-code', '1')).last).toBe('1 passed, 1 failed, 0 skipped');
  });

  describe('with a second run of what failed', () => {
    const report = async (name: string, suite: object) => {
      const file = join(scratch, name);
      await writeFile(file, JSON.stringify({ testResults: [{ name: join(root, 'some.test.ts'), ...suite }] }));
      return file;
    };
    const suite = (status: Status, failureMessages: readonly string[] = []) => ({
      status: status === 'passed' ? 'passed' : 'failed',
      assertionResults: [
        { status: 'passed', fullName: 'a' },
        { status, fullName: 'the b', failureMessages },
      ],
    });

    test('counts what passed there, and names it with what it had failed of', async () => {
      const first = await report('first.json', suite('failed', ['connection reset\n  at some place']));
      const { code, last, all } = summarise(first, '--again', await report('again.json', suite('passed')));
      expect(last).toBe('2 passed, 0 failed, 0 skipped');
      expect(all).toContain('again: some.test.ts: the b: passed the second time, alone; the first: connection reset\n');
      expect(code).toBe(0);
    });

    test('fails where it failed twice', async () => {
      const first = await report('first.json', suite('failed'));
      const { code, last } = summarise(first, '--again', await report('again.json', suite('failed')));
      expect(last).toBe('1 passed, 1 failed, 0 skipped');
      expect(code).toBe(1);
    });

    test('takes the second run of a file that did not load, and fails where that did not either', async () => {
      const unloaded = { status: 'failed', message: 'no such module', assertionResults: [] };
      const first = await report('first.json', unloaded);
      const second = summarise(first, '--again', await report('again.json', suite('passed')));
      expect(second.last).toBe('2 passed, 0 failed, 0 skipped');
      expect(second.all).toContain('again: some.test.ts ran the second time, alone');
      expect(summarise(first, '--again', await report('again.json', unloaded)).code).toBe(1);
    });

    test('is asked for a few files, not for many', async () => {
      const failing = async (count: number) => {
        const testResults = Array.from({ length: count }, (_, at) => ({
          name: join(root, `${String(at)}.test.ts`),
          ...suite('failed'),
        }));
        const file = join(scratch, 'failing.json');
        await writeFile(file, JSON.stringify({ testResults }));
        const run = spawnSync(process.execPath, [join(root, 'scripts/ci-failed.mjs'), file], {
          encoding: 'utf8',
          cwd: root,
        });
        return run.stdout;
      };
      expect(await failing(2)).toBe('0.test.ts\n1.test.ts\n');
      expect(await failing(4)).toBe('');
    });
  });

  test('fails where there is no report', () => {
    const { code, last } = summarise(join(scratch, 'nowhere.json'));
    expect(last).toBe('0 passed, 1 failed, 0 skipped');
    expect(code).toBe(1);
  });

  test('fails where a suite did not load', async () => {
    const file = join(scratch, 'broken.json');
    const suite = {
      name: join(root, 'broken.test.ts'),
      status: 'failed',
      message: 'SyntaxError',
      assertionResults: [],
    };
    await writeFile(file, JSON.stringify({ testResults: [suite] }));
    const { code, all } = summarise(file, '--tests-min', '0');
    expect(all).toContain('failed: broken.test.ts did not run: SyntaxError');
    expect(code).toBe(1);
  });
});
