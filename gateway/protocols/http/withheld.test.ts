import { expect, test } from '@jest/globals';
import { withhold } from './withheld.js';

test('names stay in the record, and values of queries, forms, parts and arguments do not', () => {
  const part = { name: 'note', bytes: 6, sha256: 'aa' };
  const field = { path: 'user', name: 'user' };
  const own = {
    method: 'POST',
    query: { email: ['secret'] },
    headers: { 'x-mine': 'secret' },
    body: { kind: 'multipart', media_type: 'multipart/form-data', bytes: 9, parts: [{ ...part, text: 'secret' }] },
    graphql: { requests: [{ type: 'query', fields: [{ ...field, arguments: { id: 'secret' } }] }] },
  };
  const recorded = withhold(own, { columns: undefined, conceal: () => 'concealed' });
  expect(JSON.stringify(recorded)).not.toContain('secret');
  expect(recorded).toEqual({
    method: 'POST',
    query: { email: ['concealed'] },
    body: { kind: 'multipart', media_type: 'multipart/form-data', bytes: 9, parts: [part] },
    graphql: { requests: [{ type: 'query', fields: [field] }] },
  });
});
