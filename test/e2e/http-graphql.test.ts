import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { startWeb, type Web } from '../support/web.js';

/** GraphQL through the gate: judged by its fields, and sent as it was judged. */

const policy = {
  'http.rego': `package policy.http

allow contains {"code": "reads"} if {
	input.operation.action == "read"
	input.operation.opaque == false
}

deny contains {"code": "keys", "message": "not those"} if {
	some request in input.operation.http.graphql.requests
	some field in request.fields
	field.path == "viewer.apiKeys"
}
`,
};

let web: Web;
beforeAll(async () => {
  web = await startWeb({ policy, target: { credential: { bearer: 'own' }, graphql: ['/api/gql'] } });
});
afterAll(() => web?.close());
beforeEach(() => {
  web.upstream.heard.length = 0;
});

const ask = async (query: string, path = '/http/cloud/api/gql') => {
  const headers = { ...(await web.bearer()), 'content-type': 'application/json' };
  const { status, text } = await web.call(path, { method: 'POST', headers, body: JSON.stringify({ query }) });
  const { reasons = [] } = JSON.parse(text) as { reasons?: { code: string }[] };
  return {
    status,
    codes: reasons.map(({ code }) => code),
    sent: web.upstream.heard.map(({ body }) => body.toString()),
  };
};

test('a query by POST is a read where GraphQL is served, and goes on as it came', async () => {
  const query = '{ viewer { name } }';
  expect(await ask(query)).toEqual({ status: 200, codes: [], sent: [JSON.stringify({ query })] });
  expect(await ask(query, '/http/cloud/elsewhere')).toMatchObject({ status: 403, codes: ['not_allowed'] });
});

test.each([
  ['itself', '{ viewer { apiKeys } }'],
  ['under another name', '{ me: viewer { name: apiKeys } }'],
  ['in a fragment', '{ ...F } fragment F on Query { viewer { ... on User { apiKeys } } }'],
])('a field that nobody may read is found %s', async (_how, query) => {
  expect(await ask(query)).toEqual({ status: 403, codes: ['keys'], sent: [] });
});

test.each([
  ['mutations', 'mutation { a }'],
  ['what cannot be read in one way', 'query A { a } query B { b }'],
  ['what is no GraphQL', 'viewer'],
])('%s are no reads', async (_what, query) => {
  expect(await ask(query)).toEqual({ status: 403, codes: ['not_allowed'], sent: [] });
});
