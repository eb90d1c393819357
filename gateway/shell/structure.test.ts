import { expect, test } from '@jest/globals';
import { readShell } from './structure.js';

test('the commands of substitutions are named, and of those in one another without end only the outer ones', () => {
  const nested = (times: number) => `${'echo $('.repeat(times)}rm /srv/x${')'.repeat(times)}`;
  const few = readShell(nested(8));
  expect(few.commands.map(({ argv }) => argv[0])).toContain('rm');
  const many = readShell(nested(8_000));
  expect(many.because).toContain('it has more than 8 substitutions in one another');
  expect(many.commands).toHaveLength(9);
});
