import { describe, expect, test } from '@jest/globals';
import { unite } from './combine.js';
import type { Verdict } from './evaluate.js';
import { readPreview } from './shapes.js';

/** What policy wants to know of an operation before it is judged for good. */

const allowed: Verdict = {
  ...{ outcome: 'allow', reasons: [{ code: 'a' }], masks: [], filters: [], approvals: [], limits: {} },
};

describe('previews', () => {
  test('of all layers count', () => {
    const asking = (code: string): Verdict => ({ ...allowed, previews: [{ code }] });
    expect(unite([asking('base'), allowed, asking('team')]).previews).toEqual([{ code: 'base' }, { code: 'team' }]);
    expect(unite([allowed, allowed])).not.toHaveProperty('previews');
  });

  test('have a code, which falls back to the rule, and nothing else', () => {
    expect(readPreview({}, 'policy.kubernetes.preview')).toEqual({ code: 'policy.kubernetes.preview' });
    expect(readPreview({ code: 'own' }, 'x')).toEqual({ code: 'own' });
    expect(() => readPreview({ of: 'effect' }, 'x')).toThrow('unknown field "of"');
    expect(() => readPreview(true, 'x')).toThrow('not an object');
  });
});
