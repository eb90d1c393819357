import { expect, test } from '@jest/globals';
import { verifyData, type DataChecks } from './verify-data.js';

const checks: DataChecks = new Map([['tools', () => [{ path: ['saw', 'can'], message: 'is too much' }]]]);
const text = 'tools:\n  saw:\n    can: [cut]\n';
const files = new Map([['data.yaml', Buffer.from(text)]]);

test("a member of the data that means something to whoever builds is looked at by the builder's check", () => {
  expect(verifyData({ tools: { saw: { can: ['cut'] } } }, files, [], checks)).toEqual([
    { code: 'bad_data', message: 'data.tools.saw.can is too much', file: 'data.yaml', line: 3 },
  ]);
  expect(verifyData({ tools: {} }, files)).toEqual([]);
});

test('its name misspelt is told', () => {
  expect(verifyData({ tool: {} }, new Map(), [], checks)).toMatchObject([{ code: 'unknown_data' }]);
});
