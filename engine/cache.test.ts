import { beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { compileRego, inputOf, layerOf } from '../test/support/policy.js';
import { VerdictCache } from './cache.js';
import { freeze, refusal } from './combine.js';
import { createEngine } from './engine.js';
import { noUsage } from './manifest.js';
import type { EngineOptions } from './engine.js';
import type { Decision, Input, Layer } from './index.js';
import { Projection } from './projection.js';

/** A policy whose reason says what it read: a stale decision would say what another operation held. */
const telling = `package policy.postgres
_seen := [object.get(input, split(path, "/"), "absent") | some path in data.watch]
allow contains {"code": json.marshal(_seen)} if true`;
let wasm: Uint8Array;
beforeAll(async () => {
  wasm = await compileRego([telling]);
});

const layerThatReads = (paths: readonly string[]): Layer => ({
  manifest: {
    name: 'telling',
    format: 1,
    rules: [],
    packages: ['postgres'],
    builtins: [],
    reads: { postgres: paths.map((path) => path.replaceAll('/', '.')) },
  },
  wasm,
  data: { watch: paths },
});

async function engineThatReads(paths: readonly string[], options: EngineOptions = {}) {
  const engine = createEngine(options);
  engine.activate(await engine.prepare('x', [layerThatReads(paths)]));
  return engine;
}

const withoutId = ({ id: _id, ...rest }: Decision) => rest;
const seen = (decision: Decision): unknown => JSON.parse(decision.reasons[0]!.code);
const operationOf = (changes: object): Input['operation'] => ({ ...inputOf().operation, ...changes });

const paths = [
  'principal/roles', 'principal/attributes/a', 'principal/attributes/a.b', 'principal/attributes/a/b', 'session/transaction', 'session/taint',
  'prompt/text', 'operation/action', 'operation/opaque', 'operation/resources', 'operation/postgres/statements', 'operation/postgres/parameters',
  'target/labels', 'time', 'usage/rows/day', 'session/rows', 'session', 'operation', 'prompt', 'operation/postgres',
]; // prettier-ignore

/** Few values, so that inputs meet again; the immutable parts are shared by identity, as the gateway shares them. */
const principals = [{ a: 1 }, { a: { b: 1 } }, { 'a.b': 1 }, { a: { b: 2 }, 'a.b': 1 }, {}].map((attributes, index) =>
  freeze({ ...inputOf().principal, roles: index % 2 === 0 ? ['readonly'] : [], attributes }),
);
const targets = [{}, { environment: 'production' }].map((labels) => freeze({ ...inputOf().target, labels }));
const resourceLists = ['app.orders', 'app.customers'].map((name) =>
  freeze([{ type: 'relation', name, access: 'read' as const }]),
);
const statementLists = [
  freeze([{ kind: 'select' }]),
  freeze([{ kind: 'delete' }]),
  Object.freeze([{ kind: 'insert' }]),
];

const inputs: fc.Arbitrary<Input> = fc
  .record({
    principal: fc.constantFrom(...principals),
    target: fc.constantFrom(...targets),
    resources: fc.constantFrom(...resourceLists, [...resourceLists[0]!]),
    statements: fc.constantFrom(...statementLists, [{ kind: 'select' }]),
    parameters: fc.option(fc.constantFrom<(string | null)[]>(['1'], ['1', null], ['1\n2'], ['#1'], ['~']), {
      nil: undefined,
    }),
    action: fc.constantFrom('read' as const, 'write' as const),
    opaque: fc.boolean(),
    transaction: fc.constantFrom('idle' as const, 'open' as const),
    taint: fc.constantFrom<string[]>([], ['pii'], ['pii","x']),
    text: fc.option(fc.constantFrom('', 'a', 'a\nb', '~', '#0'), { nil: undefined }),
    rows: fc.nat(2),
    day: fc.nat(2),
    time: fc.constantFrom('2026-11-22T09:00:00.000Z', '2026-11-22T10:00:00.000Z'),
  })
  .map(
    ({
      principal,
      target,
      resources,
      statements,
      parameters,
      action,
      opaque,
      transaction,
      taint,
      text,
      rows,
      day,
      time,
    }) => ({
      ...inputOf({ principal, target, time }),
      ...(text === undefined ? undefined : { prompt: { text } }),
      session: { ...inputOf().session, transaction, taint, rows },
      usage: { ...noUsage, operations: { minute: 0, day }, rows: { day } },
      operation: operationOf({
        resources,
        action,
        opaque,
        postgres: { statements, ...(parameters === undefined ? undefined : { parameters }) },
      }),
    }),
  );

describe('a remembered decision', () => {
  test('is the one that would be made anew, whatever the policy reads', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.constantFrom(...paths), { maxLength: 5 }), fc.array(inputs, { minLength: 20, maxLength: 60 }), async (read, operations) => {
        const remembering = await engineThatReads(read, { cache_entries_max: 16 });
        const forgetful = await engineThatReads(read, { cache_entries_max: 0 });
        for (const input of operations) expect(withoutId(remembering.decide(input))).toEqual(withoutId(forgetful.decide(input)));
      }),
      { numRuns: 40, interruptAfterTimeLimit: 20_000 },
    ); // prettier-ignore
  });

  test('is used again, for any operation that differs only in what policy does not read', async () => {
    const engine = await engineThatReads(['operation/action']);
    const first = engine.decide(inputOf());
    const second = engine.decide(
      inputOf({ time: '2026-11-22T09:00:01.000Z', operation: operationOf({ hash: '1'.repeat(64) }) }),
    );
    expect(second.reasons).toBe(first.reasons);
    expect(engine.decide(inputOf({ operation: operationOf({ action: 'write' }) })).reasons).not.toBe(first.reasons);
  });

  test.each(['time', 'usage', 'usage/rows/day', 'session/rows', 'session', ''])(
    'is never used where policy reads "%s"',
    async (path) => {
      const engine = await engineThatReads([path]);
      const first = engine.decide(inputOf());
      expect(engine.decide(inputOf()).reasons).not.toBe(first.reasons);
    },
  );

  test('is never used where the manifest does not know what the protocol reads', async () => {
    const layer = layerThatReads(['operation/action']);
    const engine = createEngine();
    engine.activate(await engine.prepare('x', [{ ...layer, manifest: { ...layer.manifest, reads: {} } }]));
    expect(engine.decide(inputOf()).reasons).not.toBe(engine.decide(inputOf()).reasons);
  });

  test('is gone with its revision', async () => {
    const engine = await engineThatReads(['operation/action']);
    const before = engine.decide(inputOf());
    engine.activate(await engine.prepare('y', [layerThatReads(['operation/action', 'operation/opaque'])]));
    expect([seen(before), seen(engine.decide(inputOf()))]).toEqual([['read'], ['read', false]]);
  });

  test('is not one for an array whose elements may still change', async () => {
    const engine = await engineThatReads(['operation/postgres/statements']);
    const statement = { kind: 'select' };
    const input = inputOf({ operation: operationOf({ postgres: { statements: Object.freeze([statement]) } }) });
    expect(seen(engine.decide(input))).toEqual([[{ kind: 'select' }]]);
    statement.kind = 'delete';
    expect(seen(engine.decide(input))).toEqual([[{ kind: 'delete' }]]);
  });

  test('is one of a runaway as well: whoever spends the bound once cannot spend it with each operation', async () => {
    const rego = `package policy.postgres
allow contains {"code": "a"} if not _long
_long if { input.target.name == "orders"; count([1 | some i in numbers.range(1, 10000000); i > 0]) > 5 }`;
    const engine = createEngine({ fuel_max: 20_000_000 });
    engine.activate(await engine.prepare('x', [await layerOf(rego, { reads: { postgres: [] } })]));
    const first = engine.decide(inputOf());
    expect(first.reasons[0]?.code).toBe('policy_budget');
    expect(engine.decide(inputOf()).reasons).toBe(first.reasons);
  });
});

describe('keys', () => {
  test('are none where the value is too long to keep', () => {
    const projection = Projection.of(['prompt.text'])!;
    expect(projection.key(inputOf({ prompt: { text: 'x'.repeat(40_000) } }))).toBeUndefined();
    expect(projection.key(inputOf({ prompt: { text: 'x' } }))).toBeDefined();
  });
});

describe('the store', () => {
  const verdict = freeze(refusal('not_allowed'));

  test('holds no more entries than it may, and keeps what is asked for', () => {
    const cache = new VerdictCache(10, 1_000_000);
    for (let index = 0; index < 1_000; index++) {
      cache.set(`key ${String(index)}`, verdict);
      expect(cache.get('key 0')).toBe(verdict);
      expect(cache.size).toBeLessThanOrEqual(10);
    }
    expect(cache.get('key 500')).toBeUndefined();
  });

  test('holds no more bytes than it may', () => {
    const cache = new VerdictCache(1_000, 10_000);
    for (let index = 0; index < 100; index++) cache.set(String(index).padEnd(1_000), verdict);
    expect(cache.size).toBeLessThanOrEqual(4);
    cache.set('x'.repeat(10_000), verdict);
    expect(cache.get('x'.repeat(10_000))).toBeUndefined();
  });
});
