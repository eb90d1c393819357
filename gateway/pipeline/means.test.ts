import { expect, test } from '@jest/globals';
import type { Decision, Input } from '#engine';
import { withinMeans } from './means.js';

/** Decisions are the engine's to make; here one is needed of each kind. */
const decision = (rest: object) =>
  ({
    ...{ id: 'd', outcome: 'allow', reasons: [], masks: [], filters: [], approvals: [], limits: {}, revision: 'r' },
    ...rest,
  }) as unknown as Decision;
const previews = [{ code: 'images' }];
const input = (stage: string, action: string, own: object = {}, protocol = 'kubernetes') =>
  ({
    target: { name: 't', protocol },
    operation: { stage, action, opaque: false, [protocol]: own },
  }) as unknown as Input;

test.each([
  ['what is known', input('execute', 'write', { result: { known: true } }), 'allow', undefined],
  ['what is not known yet', input('prepare', 'write'), 'allow', undefined],
  ['what only looks', input('execute', 'read'), 'allow', undefined],
  ['what was not tried', input('execute', 'write'), 'deny', 'it was not tried out'],
  [
    'what could not be found out',
    input('execute', 'delete', { result: { known: false, why: 'no webhook' } }),
    'deny',
    'no webhook',
  ],
] as const)('a preview is asked of %s', (_name, document, outcome, message) => {
  const judged = withinMeans(decision({ previews }), document, new Set(['preview']));
  expect(judged.outcome).toBe(outcome);
  if (message !== undefined)
    expect(judged.reasons).toEqual([
      expect.objectContaining({ code: 'preview_failed', message: `What this would do is not known: ${message}.` }),
    ]);
});

test('copies that nobody keeps are a refusal, which says what is missing; at the preparation nothing is transferred', () => {
  const asked = decision({ keeps: [{ code: 'uploads' }] });
  const judged = withinMeans(asked, input('execute', 'write', {}, 'ssh'), new Set(['mask']));
  expect(judged.reasons).toEqual([
    expect.objectContaining({
      code: 'obligation_unsupported',
      message: expect.stringMatching(/keep \(uploads\).*"recordings"/u) as unknown,
    }),
  ]);
  expect(withinMeans(asked, input('execute', 'write', {}, 'ssh'), new Set(['keep']))).toBe(asked);
  expect(withinMeans(asked, input('prepare', 'write', {}, 'postgres'), new Set())).toBe(asked);
});

test('a protocol that cannot tell refuses', () => {
  const judged = withinMeans(decision({ previews }), input('prepare', 'write', {}, 'postgres'), new Set(['mask']));
  expect(judged.reasons).toEqual([
    expect.objectContaining({
      code: 'obligation_unsupported',
      message: expect.stringContaining('preview (images)') as unknown,
    }),
  ]);
});
