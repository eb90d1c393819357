import { describe, expect, test } from '@jest/globals';
import os from 'node:os';
import { exceededMessage, runSandboxed } from './sandbox.js';

const cwd = os.tmpdir();
const sh = (script: string, limits = {}) => runSandboxed('/bin/sh', ['-c', script], { cwd, limits });

describe('a sandboxed program', () => {
  test('gives its status and its output', async () => {
    expect(await sh('echo out; echo err >&2; exit 3')).toEqual({ status: 3, stdout: 'out\n', stderr: 'err\n' });
  });

  test('sees nothing of our environment', async () => {
    process.env['SALLYPORT_TEST_SECRET'] = 'hunter2';
    try {
      const { stdout } = await sh('/usr/bin/env');
      expect(stdout).not.toContain('hunter2');
      const names = stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => line.split('=', 1)[0]);
      expect(names.sort()).toEqual(expect.arrayContaining(['GOMEMLIMIT', 'GOGC', 'GOTRACEBACK']));
      expect(
        names.filter((name) => !['GOMEMLIMIT', 'GOGC', 'GOTRACEBACK', 'PWD', 'SHLVL', '_'].includes(name ?? '')),
      ).toEqual([]);
    } finally {
      delete process.env['SALLYPORT_TEST_SECRET'];
    }
  });

  test('is killed with all that it started when its time is over', async () => {
    const started = performance.now();
    // The child holds the output open: were it left alive, this would last a minute.
    const run = await sh('sleep 60 & sleep 60', { time_ms: 200 });
    expect(run).toMatchObject({ status: undefined, exceeded: 'time' });
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('is killed when it writes without end, and what is kept is bounded', async () => {
    const run = await sh('while :; do echo 0123456789012345678901234567890123456789; done', {
      output_bytes_max: 10_000,
    });
    expect(run.exceeded).toBe('output');
    expect(run.stdout.length).toBeLessThanOrEqual(10_000);
  });

  test('has its data segment limited where the system can', async () => {
    const { stdout } = await sh('ulimit -d; ulimit -c', { memory_mib: 300 });
    expect(stdout.split('\n').slice(0, 2)).toEqual([String(300 * 1024), '0']);
  });

  test('that cannot be started has a status of its own', async () => {
    expect((await runSandboxed('/nonexistent/opa', ['version'], { cwd })).status).toBe(127);
  });
});

test('a limit is told in words', () => {
  expect(exceededMessage('opa test', 'time', { time_ms: 1500 })).toBe(
    'opa test took longer than 1.5 s and was stopped',
  );
  expect(exceededMessage('opa test', 'memory', { memory_mib: 300 })).toBe(
    'opa test used more than 300 MiB of memory and was stopped',
  );
});
