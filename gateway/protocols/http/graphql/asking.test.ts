import { describe, expect, test } from '@jest/globals';
import { addressed, readFields, readRequest } from '../codec.js';
import { readGraphql } from './asking.js';

const reading = { base: '', repeated: new Set(['query']), encodedSlashes: false };

interface Asked {
  readonly at?: string;
  readonly method?: string;
  readonly type?: string;
  readonly body?: string;
  readonly served?: boolean;
}

function read({ at = '/graphql', method = 'POST', type = 'application/json', body = '', served = true }: Asked) {
  const fields = readFields(body === '' ? [] : ['content-type', type], true);
  return readGraphql(readRequest(method, addressed(`/http/t${at}`), fields, Buffer.from(body), reading), served);
}
const json = (value: unknown, more: Asked = {}) => read({ body: JSON.stringify(value), ...more });
const why = (value: unknown, more: Asked = {}) => json(value, more)?.unreadable;

describe('what is asked', () => {
  test('fields are named from the root on, aliases aside, with what their arguments come to', () => {
    const query = `query Q($id: ID!, $n: Int = 3, $none: Int) {
      me: user(id: $id, first: $n, skip: $none, where: {tags: ["a", ENUM], at: null}) { mail: email }
    }`;
    expect(json({ query, variables: { id: 'u-1', other: 1 } })).toEqual({
      requests: [
        {
          type: 'query',
          name: 'Q',
          fields: [
            {
              path: 'user',
              name: 'user',
              alias: 'me',
              arguments: { id: 'u-1', first: 3, where: { tags: ['a', 'ENUM'], at: null } },
            },
            { path: 'user.email', name: 'email', alias: 'mail', arguments: {} },
          ],
        },
      ],
    });
  });

  test('fragments are put in place, with their types and directives, wherever they stand', () => {
    const query = `{ node { ...A @include(if: true) ... on User { email @skip(if: true) } } }
      fragment A on Admin { ...B } fragment B on Person { secret }`;
    expect(json({ query })?.requests[0]?.fields).toEqual([
      { path: 'node', name: 'node', arguments: {} },
      { path: 'node.secret', name: 'secret', arguments: {}, on: ['Admin', 'Person'], directives: ['include'] },
      { path: 'node.email', name: 'email', arguments: {}, on: ['User'], directives: ['skip'] },
    ]);
  });

  test('of several operations the one that is named is asked for, and each of a batch', () => {
    const query = 'query A { a } mutation B { b }';
    expect(json({ query, operationName: 'B' })?.requests).toMatchObject([{ type: 'mutation', name: 'B' }]);
    expect(json([{ query: '{ a }' }, { query: 'mutation { b }' }])?.requests).toMatchObject([
      { type: 'query' },
      { type: 'mutation' },
    ]);
  });

  test('the URL, forms and plain documents say it as well', () => {
    const form = 'application/x-www-form-urlencoded';
    const wanted = [{ type: 'query', fields: [{ path: 'a', arguments: { x: 1 } }] }];
    const query = encodeURIComponent('query($x: Int) { a(x: $x) }');
    const said = `query=${query}&variables=${encodeURIComponent('{"x": 1}')}`;
    expect(read({ at: `/graphql?${said}`, method: 'GET' })?.requests).toMatchObject(wanted);
    expect(read({ type: form, body: said })?.requests).toMatchObject(wanted);
    expect(read({ type: 'application/graphql', body: '{ a(x: 1) }' })?.requests).toMatchObject(wanted);
  });

  test('a document that the server keeps is named by its hash, and is not understood', () => {
    const sha256Hash = 'ab'.repeat(32);
    expect(json({ extensions: { persistedQuery: { version: 1, sha256Hash } } })).toMatchObject({
      requests: [],
      persisted: [sha256Hash],
      unreadable: expect.any(String),
    });
    expect(why({ query: '{ a }', extensions: { persistedQuery: { version: 1, sha256Hash } } })).toMatch(/another/);
  });
});

describe('what could be taken for something else is unreadable', () => {
  test.each([
    ['several operations without a name', { query: 'query A { a } query B { b }' }],
    ['an operation that is not there', { query: 'query A { a }', operationName: 'B' }],
    ['two operations of one name', { query: 'query A { a } mutation A { b }', operationName: 'A' }],
    ['two fragments of one name', { query: '{ ...F } fragment F on T { a } fragment F on T { b }' }],
    ['a fragment that is not there', { query: '{ ...F }' }],
    ['a fragment that spreads itself', { query: '{ ...F } fragment F on T { ...G } fragment G on T { ...F }' }],
    ['an argument twice', { query: '{ a(x: 1, x: 2) }' }],
    ['a field of an object twice', { query: '{ a(x: {y: 1, y: 2}) }' }],
    ['a variable twice', { query: 'query($x: Int = 1, $x: Int = 2) { a(x: $x) }' }],
    ['a variable that is not declared', { query: '{ a(x: $x) }', variables: { x: 1 } }],
    ['a number that not every reader holds', { query: '{ a(x: 9007199254740993) }' }],
    ['a definition of a type', { query: '{ a } type T { a: Int }' }],
    ['words beside those of the protocol', { query: '{ a }', id: 'other' }],
    ['no document', { operationName: 'A' }],
    ['no GraphQL', { query: '{ a' }],
    ['variables in a text', { query: '{ a }', variables: '{"x": 1}' }],
    ['nothing', []],
    ['an operation with directives', { query: 'query @live { a }' }],
    ['a variable with directives', { query: 'query($x: Int @other) { a(x: $x) }' }],
    ['a variable of an answer', [{ query: '{ a @export(as: "x") }' }, { query: 'query($x: ID) { b(x: $x) }' }]],
  ])('%s', (_what, value) => {
    expect(why(value)).toEqual(expect.any(String));
    expect(json(value)?.requests).toEqual([]);
  });

  test('a document in the URL and another in the body', () => {
    expect(why({ query: '{ a }' }, { at: '/graphql?query=%7B%20b%20%7D' })).toMatch(/URL and in the body/);
    expect(why({ query: '{ a }' }, { at: '/graphql?operationName=B' })).toMatch(/URL and in the body/);
  });

  test('two documents in the URL, where its names may be repeated', () => {
    const twice = `/graphql?query=${encodeURIComponent('{ a }')}&query=${encodeURIComponent('mutation { b }')}`;
    expect(read({ at: twice, method: 'GET' })?.unreadable).toMatch(/several times/);
  });

  test('what little text makes much of: names above many fields, and variables and fragments that come again', () => {
    const fields = Array.from({ length: 900 }, (_, at) => `a${String(at)}`);
    const long = 'n'.repeat(20_000);
    expect(why({ query: `{ ${long} { ${fields.join(' ')} } }` })).toMatch(/come to more/);
    const query = `query($v: S) { ${fields.map((name) => `${name}(x: $v)`).join(' ')} }`;
    expect(why({ query, variables: { v: long } })).toMatch(/come to more/);
    const spread = fields.map((name) => `${name} { ...F }`).join(' ');
    expect(why({ query: `{ ${spread} } fragment F on T { f(x: "${long}") }` })).toMatch(/come to more/);
    expect(why({ query: `{ ${spread} } fragment F on ${long} { f }` })).toMatch(/come to more/);
    expect(why({ query: `{ a(x: ${'['.repeat(70)}${']'.repeat(70)}) }` })).toMatch(/deep/);
  });

  test('fragments that multiply, many tokens, and many levels have an end', () => {
    const doubling = Array.from({ length: 30 }, (_, at) => `fragment F${at} on T { ...F${at + 1} ...F${at + 1} }`);
    expect(why({ query: `{ ...F0 } ${doubling.join(' ')} fragment F30 on T { a }` })).toMatch(/more than 2000 fields/);
    expect(why({ query: `{ ${'a '.repeat(9_000)} }` })).toMatch(/larger/);
    expect(why({ query: `${'{ a '.repeat(60)}${'}'.repeat(60)}` })).toMatch(/deep/);
  });

  test('JSON under another type than its own', () => {
    expect(why({ query: 'mutation { b }' }, { type: 'text/plain' })).toMatch(/neither JSON nor a form/);
  });
});

describe('where nobody said that there is GraphQL', () => {
  const elsewhere = { at: '/v1/find', served: false };
  test('a document is found, and one that is too large to be read as well', () => {
    expect(json({ query: 'mutation { b }' }, elsewhere)?.requests).toMatchObject([{ type: 'mutation' }]);
    expect(why({ query: `{ ${'a '.repeat(9_000)} }` }, elsewhere)).toMatch(/larger/);
    expect(why({ query: 'mutation { b }', other: 1 }, elsewhere)).toEqual(expect.any(String));
  });

  test('more of them than a batch has are not looked at one by one', () => {
    const many = Array.from({ length: 51 }, () => ({ query: '{a' }));
    expect(why(many, elsewhere)).toMatch(/too much at once/);
    expect(why(many, { ...elsewhere, type: 'application/octet-stream' })).toMatch(/neither JSON/);
    expect(json(many.slice(1), elsewhere)).toBeUndefined();
  });

  test('a document under a name that differs in case is found', () => {
    expect(why({ Query: 'mutation { b }' }, elsewhere)).toEqual(expect.any(String));
    expect(why([{ QUERY: '{ a }' }], elsewhere)).toEqual(expect.any(String));
  });

  test('queries of other languages are none', () => {
    expect(json({ query: 'up{job="x"}' }, elsewhere)).toBeUndefined();
    expect(json({ query: { match: {} } }, elsewhere)).toBeUndefined();
    expect(read({ at: '/repos/graphql', method: 'GET', served: false })).toBeUndefined();
  });
});
