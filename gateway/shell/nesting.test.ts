import { expect, test } from '@jest/globals';
import { understandArgv, understandLine } from './index.js';

const host = { terminal: false, folder: '~' } as const;
const nested = (times: number) => `${'nice '.repeat(times)}rm /srv/x`;

test('programs that run one another are looked through', () => {
  expect(understandLine(nested(5), host)).toMatchObject({ action: 'delete', because: [] });
  expect(understandLine(nested(16), host)).toMatchObject({ action: 'delete', because: [] });
});

test('those without end are not known, and exhaust no stack', () => {
  for (const times of [17, 13_000])
    expect(understandLine(nested(times), host).because).toEqual(['too many programs run one another']);
  const argv = [...Array<string>(100_000).fill('nice'), 'rm', '/srv/x'];
  expect(understandArgv(argv, host).because).toEqual(['too many programs run one another']);
  expect(understandLine(nested(2), host).because).toEqual([]);
});
