import { expect, test } from '@jest/globals';
import { loosening } from '../replay/compare.js';
import { changeKinds } from '../replay/published.js';
import { loosens, named, remarks, subject } from './page/loosening.js';

const report = {
  tally: { beyond: {}, unlike_recorded: 0, upon_base: 0, erased: 0, unmeasured: 0, unproven: 0 },
  meant: [],
  unseen: [],
  shortened: { groups: 0, texts: 0 },
};

test('the console marks what the gateway counts as loosening', () => {
  expect(changeKinds.filter(loosens)).toEqual(changeKinds.filter((kind) => loosening.has(kind)));
  expect([named('mask_lost'), subject({ rule: 'r', on: 'c' }), subject({ rule: 'r' })]).toEqual([
    'mask lost',
    'r on c',
    'r',
  ]);
});

test('a report that is whole needs no remark, and one that was shortened says so first', () => {
  expect(remarks(report)).toEqual([]);
  const said = remarks({
    ...report,
    tally: { beyond: { mask_lost: 7 }, unlike_recorded: 1, upon_base: 2, erased: 3, unmeasured: 4, unproven: 5 },
    meant: ['suppliers are public'],
    unseen: ['usage'],
    shortened: { groups: 5, texts: 1 },
  });
  expect(said.slice(0, 3)).toEqual([
    'Shortened: 5 kinds of difference are left out.',
    'Shortened: 1 texts have no end here.',
    'Not in the list: 7 more operations mask lost.',
  ]);
  expect(said).toHaveLength(10);
});
