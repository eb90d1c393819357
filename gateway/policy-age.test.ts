import { expect, test } from '@jest/globals';
import type { SourceContact } from '../bundles/index.js';
import { policyAge } from './policy-age.js';

const layer = (times: SourceContact) => ({ contact: () => times });

test('what its source said lately is young enough, every layer of it; what it never said is not', () => {
  let now = 1_000;
  const layers = new Map([
    ['policy', layer({ answered_ms: 1_000 })],
    ['base', layer({ answered_ms: 900 })],
  ]);
  const outdated = policyAge(100, layers, () => now);
  expect(outdated()).toBeUndefined();
  now = 1_001;
  expect(outdated()).toMatch(/source of the base last answered at 1970-01-01T00:00:00\.900Z.*policy\.age_max/);
  layers.set('base', layer({ answered_ms: 1_001 }));
  expect(outdated()).toBeUndefined();
  layers.set('base', layer({ asked_ms: 1_001 }));
  expect(outdated()).toMatch(/never answered/);
});

test('a clock that was set back makes nothing old', () => {
  const outdated = policyAge(100, new Map([['policy', layer({ answered_ms: 5_000 })]]), () => 1_000);
  expect(outdated()).toBeUndefined();
});
