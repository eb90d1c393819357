import { describe, expect, test } from '@jest/globals';
import { inputOf, layerOf } from '../test/support/policy.js';
import type { Build } from '../test/support/policy.js';
import { createEngine } from './engine.js';
import type { EngineOptions } from './engine.js';
import type { Decision, Input, LayerManifest } from './index.js';

const allowAll = 'package policy.postgres\nallow contains {"code": "all"} if true\n';

interface Setup {
  readonly manifest?: Partial<LayerManifest>;
  readonly data?: unknown;
  readonly options?: EngineOptions;
  readonly build?: Build;
}

async function engineOf(rego: string | readonly string[], { manifest, data, options, build }: Setup = {}) {
  const engine = createEngine(options);
  engine.activate(await engine.prepare('git:1', [await layerOf(rego, manifest, data, build)]));
  return engine;
}

const decide = async (rego: string, input: Input = inputOf(), setup: Setup = {}): Promise<Decision> =>
  (await engineOf(rego, setup)).decide(input);
const codes = (decision: Decision) => decision.reasons.map(({ code }) => code);

/** Rules that say nothing of the trial operation with which a revision is warmed, so that it comes into force. */
const here = 'input.target.name == "orders"';

describe('what policy says', () => {
  test('no policy in force is a deny', () => {
    const decision = createEngine().decide(inputOf());
    expect(decision).toMatchObject({ outcome: 'deny', revision: 'none' });
    expect(codes(decision)).toEqual(['no_policy']);
  });

  test('nothing is allowed that no rule allows', async () => {
    expect(codes(await decide('package policy.postgres\nunused := 1'))).toEqual(['not_allowed']);
  });

  test('an allow carries its reason, with the title from the manifest', async () => {
    const rules = [
      { code: 'all', package: 'policy.postgres', set: 'allow', title: 'Everything', file: 'a.rego', line: 2 },
    ];
    const decision = await decide(allowAll, inputOf(), { manifest: { rules } });
    expect(decision).toMatchObject({ outcome: 'allow', revision: 'git:1' });
    expect(decision.reasons).toEqual([{ code: 'all', rule: 'policy.postgres', title: 'Everything' }]);
  });

  test('a deny beats an allow and takes the obligations with it', async () => {
    const decision = await decide(`${allowAll}deny contains {"code": "no", "message": "Not here."} if ${here}
mask contains {"resource": "a", "with": "null"} if true`);
    expect(decision).toMatchObject({ outcome: 'deny', masks: [] });
    expect(decision.reasons).toEqual([{ code: 'no', rule: 'policy.postgres', message: 'Not here.' }]);
  });

  test('a hold needs an allow as well', async () => {
    const approval =
      'approval contains {"code": "ask", "groups": ["dba"], "quorum": 2, "expires": "1h", "preview": "effect"} if true\n';
    expect(codes(await decide(`package policy.postgres\n${approval}`))).toEqual(['not_allowed']);
    const decision = await decide(allowAll + approval);
    expect(decision.outcome).toBe('hold');
    expect(decision.approvals).toEqual([
      { code: 'ask', groups: ['dba'], quorum: 2, expires_ms: 3_600_000, preview: 'effect' },
    ]);
  });

  test('obligations arrive whole, with their defaults', async () => {
    const decision = await decide(`${allowAll}
mask contains {"resource": "a", "with": "partial", "code": "weak"} if true
mask contains {"resource": "a", "with": "hash", "scope": "output", "code": "strong"} if true
filter contains {"resource": "app.orders", "where": "region = 'EU'"} if true
filter contains {"resource": "app.orders", "where": "id > 0", "code": "f"} if true
limit contains {"rows": 10} if true
limit contains {"rows": 5, "seconds": 2.5} if true`);
    expect(decision.masks).toEqual([{ resource: 'a', with: 'hash', scope: 'output', code: 'strong' }]);
    expect(decision.filters).toHaveLength(2);
    expect(decision.limits).toEqual({ rows: 5, seconds: 2.5 });
  });

  test('an operation that touches nothing is not allowed', async () => {
    const operation = { ...inputOf().operation, resources: [] };
    expect(codes(await decide(allowAll, inputOf({ operation })))).toEqual(['not_allowed']);
  });

  test('policy.all has its say in every protocol', async () => {
    const all = `package policy.all\ndeny contains {"code": "nowhere"} if ${here}\n`;
    const engine = await engineOf([allowAll, all], { manifest: { packages: ['postgres', 'all'] } });
    expect(codes(engine.decide(inputOf()))).toEqual(['nowhere']);
    expect(engine.decide(inputOf({ target: { name: 'b', protocol: 'ssh', labels: {} } })).outcome).toBe('deny');
  });

  test('a mask "none" is dropped where the data say none, and a deny elsewhere', async () => {
    const rego = `${allowAll}mask contains {"resource": r.name, "with": data.masks[data.classification[input.target.name][r.name]]} if {
      some r in input.operation.resources\n r.type == "column"\n}\nmask contains {"resource": "other", "with": "none"} if input.operation.opaque\n`;
    const data = { masks: { public: 'none' }, classification: { orders: { c: 'public' } } };
    const resources = [{ type: 'column', name: 'c', access: 'read' as const }];
    const engine = await engineOf(rego, { data });
    const operation = { ...inputOf().operation, resources };
    expect(engine.decide(inputOf({ operation }))).toMatchObject({ outcome: 'allow', masks: [] });
    expect(codes(engine.decide(inputOf({ operation: { ...operation, opaque: true } })))).toEqual(['policy_shape']);
  });

  test('decisions have ids of their own and share what nobody can change', async () => {
    const engine = await engineOf(
      `${allowAll}mask contains {"resource": "a", "with": "null", "parameters": {"x": [1]}} if true`,
      {
        manifest: { reads: { postgres: [] } },
      },
    );
    const input = inputOf();
    const [first, second] = [engine.decide(input), engine.decide(input)];
    expect(first.id).toMatch(/^d-[0-9a-z]{12}-\d+$/);
    expect(first.id).not.toBe(second.id);
    expect(second.masks).toBe(first.masks);
    for (const part of [
      first.masks,
      first.masks[0],
      first.masks[0]?.parameters,
      first.reasons,
      first.reasons[0],
      first.limits,
    ])
      expect(Object.isFrozen(part)).toBe(true);
  });
});

describe('wrong shapes never open', () => {
  const shapes: [string, string][] = [
    ['a boolean deny', `deny if ${here}`],
    ['a boolean mask', `mask if ${here}`],
    ['a deny of plain text', `deny contains "no" if ${here}`],
    ['a deny with an unknown field', `deny contains {"code": "no", "mesage": "x"} if ${here}`],
    ['an allow of numbers', `allow contains 1 if ${here}`],
    ['an empty code', `allow contains {"code": ""} if ${here}`],
    ['an unknown mask function', `mask contains {"resource": "a", "with": "blur"} if ${here}`],
    ['a mask "none" out of a rule', `mask contains {"resource": "a", "with": "none"} if ${here}`],
    ['a mask of no resource', `mask contains {"with": "null"} if ${here}`],
    ['a mask with an unknown scope', `mask contains {"resource": "a", "with": "null", "scope": "wire"} if ${here}`],
    ['mask parameters that are a list', `mask contains {"resource": "a", "with": "null", "parameters": []} if ${here}`],
    ['a filter without a predicate', `filter contains {"resource": "a"} if ${here}`],
    ['a filter with an empty predicate', `filter contains {"resource": "a", "where": ""} if ${here}`],
    ['an approval by nobody', `approval contains {"groups": []} if ${here}`],
    ['an approval with a misspelt quorum', `approval contains {"groups": ["dba"], "quourm": 2} if ${here}`],
    ['a quorum of none', `approval contains {"groups": ["dba"], "quorum": 0} if ${here}`],
    ['a quorum of one and a half', `approval contains {"groups": ["dba"], "quorum": 1.5} if ${here}`],
    ['an approval that expires in words', `approval contains {"groups": ["dba"], "expires": "soon"} if ${here}`],
    ['an unknown preview', `approval contains {"groups": ["dba"], "preview": "all"} if ${here}`],
    ['a negative limit', `limit contains {"rows": -1} if ${here}`],
    ['a limit in words', `limit contains {"rows": "10"} if ${here}`],
    ['a limit of nothing', `limit contains {"code": "l"} if ${here}`],
    ['a limit of something else', `limit contains {"rows": 1, "columns": 3} if ${here}`],
  ];
  test.each(shapes)('%s', async (_name, rule) => {
    const decision = await decide(`${allowAll}${rule}\n`);
    expect(decision.outcome).toBe('deny');
    expect(codes(decision)).toContain('policy_shape');
  });

  const raw = '"allow": [{"code": "a"}]';
  const combined = (changes = '') =>
    `"combined": object.union({"outcome": "allow", "reasons": [{"code": "a"}], "masks": [], "filters": [], "approvals": [], "limits": {}}, {${changes}})`;
  const whole = (...parts: string[]) => `{"nonce": input.nonce, ${parts.join(', ')}}`;
  const answers: [string, string, string][] = [
    ['another nonce', `{"nonce": "x", ${raw}, ${combined()}}`, 'policy_error'],
    ['no nonce', `{${raw}, ${combined()}}`, 'policy_error'],
    ['a boolean', 'true', 'policy_error'],
    ['a list', '[1]', 'policy_error'],
    ['a field that nobody knows', whole('"permit": true', raw, combined()), 'policy_shape'],
    ['a field under all that nobody knows', whole('"all": {"denie": true}', raw, combined()), 'policy_shape'],
    ['a list under all', whole('"all": []', raw, combined()), 'policy_shape'],
    ['null where a set was meant', whole('"deny": null', raw, combined()), 'policy_shape'],
    ['nothing combined', whole(raw), 'policy_shape'],
    ['no reason', whole(raw, combined('"reasons": []')), 'policy_shape'],
    ['a reason without a code', whole(raw, combined('"reasons": [{"rule": "x"}]')), 'policy_shape'],
    ['an unknown outcome', whole(raw, combined('"outcome": "maybe"')), 'policy_shape'],
    ['a combined mask "none"', whole(raw, combined('"masks": [{"resource": "a", "with": "none"}]')), 'policy_shape'],
    ['an allow that no rule gave', whole('"allow": []', combined()), 'policy_error'],
    ['an allow over a deny', whole(raw, '"deny": [{"code": "d"}]', combined()), 'policy_error'],
    ['an allow over a deny for all', whole(raw, '"all": {"deny": [{"code": "d"}]}', combined()), 'policy_error'],
    ['an allow over an approval', whole(raw, '"approval": [{"groups": ["g"]}]', combined()), 'policy_error'],
    ['a hold that nobody asked for', whole(raw, combined('"outcome": "hold"')), 'policy_error'],
    ['a mask that was lost', whole(raw, '"mask": [{"resource": "a", "with": "null"}]', combined()), 'policy_error'],
    ['a mask that was weakened', whole(raw, '"mask": [{"resource": "a", "with": "hash"}]', combined('"masks": [{"resource": "a", "with": "partial"}]')), 'policy_error'],
    ['a filter that was lost', whole(raw, '"filter": [{"resource": "a", "where": "x"}]', combined('"filters": [{"resource": "a", "where": "y"}]')), 'policy_error'],
    ['a limit that was raised', whole(raw, '"limit": [{"rows": 1}]', combined('"limits": {"rows": 2}')), 'policy_error'],
    ['an approval with a lower quorum', whole(raw, '"approval": [{"groups": ["g"], "quorum": 2}]', combined('"outcome": "hold", "approvals": [{"groups": ["g"]}]')), 'policy_error'],
    ['an approval by another group', whole(raw, '"approval": [{"groups": ["g"]}]', combined('"outcome": "hold", "approvals": [{"groups": ["h"]}]')), 'policy_error'],
  ]; // prettier-ignore
  const good = `{"nonce": input.nonce, "combined": {"outcome": "deny", "reasons": [{"code": "n"}], "masks": [], "filters": [], "approvals": [], "limits": {}}}`;

  test('an entry point that answers with anything but a decision on this operation', async () => {
    // One compilation for all: the target says which answer to give.
    const cases = answers.map(
      ([, answer], index) => `${answer} if { input.target.name == "${String(index)}" } else := `,
    );
    const entry = `package sallyport\ndecision := ${cases.join('')}${good}\n`;
    const engine = await engineOf('package policy.postgres', { build: { entry } });
    for (const [index, [name, , code]] of answers.entries()) {
      const decision = engine.decide(inputOf({ target: { name: String(index), protocol: 'postgres', labels: {} } }));
      expect([name, decision.outcome, ...codes(decision)]).toEqual([name, 'deny', code]);
    }
    expect(codes(engine.decide(inputOf()))).toEqual(['n']);
  });

  test('an entry point that is undefined', async () => {
    const entry = `package sallyport\ndecision := ${good} if not ${here}\n`;
    expect(codes(await decide('package policy.postgres', inputOf(), { build: { entry } }))).toEqual(['policy_error']);
  });
});

describe('inputs that are none', () => {
  const odd: [string, unknown][] = [
    ['undefined', undefined],
    ['null', null],
    ['false', false],
    ['0', 0],
    ['an empty text', ''],
    ['a list', []],
    ['an empty object', {}],
    ['another version', { ...inputOf(), version: 2 }],
    ['no resources', { ...inputOf(), operation: {} }],
    ['a nonce of its own', { ...inputOf(), nonce: 'mine' }],
    ['one that writes itself as text', { ...inputOf(), toJSON: () => 'x' }],
    ['one that writes itself as nothing', { ...inputOf(), toJSON: () => undefined }],
    ['one that cannot be written', { ...inputOf(), usage: 1n }],
  ];
  test('are refused, each and all', async () => {
    const open = 'package policy.postgres\nallow contains {"code": "open"} if not input.operation.nothing\n';
    const engine = await engineOf(open);
    expect(engine.decide(inputOf()).outcome).toBe('allow');
    for (const [name, input] of odd)
      expect([name, ...codes(engine.decide(input as Input))]).toEqual([name, 'policy_error']);
  });

  test('too large a one is refused', async () => {
    const engine = await engineOf(allowAll, { options: { input_bytes_max: 2_000 } });
    expect(codes(engine.decide(inputOf({ prompt: { text: 'x'.repeat(2_000) } })))).toEqual(['policy_budget']);
    expect(engine.decide(inputOf()).outcome).toBe('allow');
  });
});

describe('evaluations that go wrong', () => {
  test('a conflict is a deny, again and again, and the next operation is judged as ever', async () => {
    const engine = await engineOf(
      `${allowAll}_tier := "a" if ${here}\n_tier := "b" if input.operation.opaque\ndeny contains {"code": _tier} if _tier == "c"\n`,
    );
    const conflicting = inputOf({ operation: { ...inputOf().operation, opaque: true } });
    for (let time = 0; time < 50; time++) expect(codes(engine.decide(conflicting))).toEqual(['policy_error']);
    expect(engine.decide(inputOf()).outcome).toBe('allow');
  });

  test('a built-in that fails makes its rule undefined, and a rule that is undefined allows nothing', async () => {
    const rego = 'package policy.postgres\nallow contains {"code": "late"} if time.parse_rfc3339_ns(input.time) > 0\n';
    const engine = await engineOf(rego);
    expect(engine.decide(inputOf()).outcome).toBe('allow');
    expect(codes(engine.decide(inputOf({ time: 'never' })))).toEqual(['not_allowed']);
  });
});

describe('a revision that cannot be used is never prepared', () => {
  const refused = async (rego: string, message: RegExp, setup: Setup = {}) =>
    expect(engineOf(rego, setup)).rejects.toThrow(message);

  test('for a built-in that the engine lacks', () =>
    refused(
      `${allowAll}deny contains {"code": http.send({"url": "x"}).body} if true`,
      /Layer "test": it calls http\.send, which this engine does not have/,
    ));
  test('for a wrong shape that every operation would show', () =>
    refused(
      `${allowAll}deny if true`,
      /trial with an ordinary postgres operation went wrong: policy\.postgres\.deny .*not a set/,
    ));
  test('for an object where a set was meant, which is one however the operation looks', () =>
    refused(`${allowAll}deny["x"] := 1 if ${here}`, /policy\.postgres\.deny .*not a set/));
  test('for a missing entry point', async () => {
    const layer = await layerOf(allowAll);
    const bytes = Buffer.from(layer.wasm);
    let at = 0;
    while ((at = bytes.indexOf('sallyport/decision', at)) >= 0) bytes.write('sallyport/decisiom', at);
    await expect(createEngine().prepare('x', [{ ...layer, wasm: bytes }])).rejects.toThrow(
      /without the entry point sallyport\/decision/,
    );
  });
  test('for bytes that are no WebAssembly', async () => {
    const { manifest, data } = await layerOf(allowAll);
    const prepare = (wasm: Uint8Array) => createEngine().prepare('x', [{ manifest, data, wasm }]);
    await expect(prepare(Buffer.from('nonsense'))).rejects.toThrow(/not a WebAssembly module/);
    await expect(prepare(new Uint8Array())).rejects.toThrow(/not a WebAssembly module/);
  });
  test('for data that are no object', () => refused(allowAll, /its data are not an object/, { data: [] }));
  test('for a manifest of another format', () => refused(allowAll, /format 2/, { manifest: { format: 2 as 1 } }));
  test('for reads that are no paths', () =>
    refused(allowAll, /what each protocol reads/, { manifest: { reads: { postgres: 'all' as unknown as string[] } } }));
  test('for no layer at all', async () => {
    await expect(createEngine().prepare('empty', [])).rejects.toThrow(/at least one layer/);
  });

  test('and only what was prepared can be activated', () => {
    const engine = createEngine();
    const forged = {
      id: 'x',
      rules: [],
      classified: () => new Set<string>(),
      reads: () => false,
      data: () => ({ documents: [], digest: '' }),
      decide: () => ({}) as Decision,
    };
    expect(() => engine.activate(forged)).toThrow(TypeError);
    expect(engine.current).toBeUndefined();
  });
});

describe('layers', () => {
  const engineOfLayers = async (...layers: Parameters<typeof layerOf>[]) => {
    const engine = createEngine();
    engine.activate(await engine.prepare('git:2', await Promise.all(layers.map((layer) => layerOf(...layer)))));
    return engine;
  };
  const part = (rules: string, first = 'true'): string =>
    `package policy.postgres\nallow contains {"code": "a"} if ${first}\n${rules}\n`;

  test('the strictest outcome holds, and obligations are united', async () => {
    const engine = await engineOfLayers(
      [part('mask contains {"resource": "a", "with": "partial"} if true\nlimit contains {"rows": 10, "bytes": 5} if true')],
      [part('mask contains {"resource": "a", "with": "hash"} if true\nmask contains {"resource": "b", "with": "null"} if true\nlimit contains {"rows": 3} if true\nfilter contains {"resource": "r", "where": "x"} if true')],
    ); // prettier-ignore
    const decision = engine.decide(inputOf());
    expect(decision.outcome).toBe('allow');
    expect(decision.masks.map((mask) => [mask.resource, mask.with])).toEqual([['a', 'hash'], ['b', 'null']]); // prettier-ignore
    expect(decision.limits).toEqual({ rows: 3, bytes: 5 });
    expect(decision.filters).toHaveLength(1);
  });

  test('a filter may not read what an earlier layer masks at the source', async () => {
    const filter = (where: string) => `filter contains {"code": "f", "resource": "r", "where": "${where}"} if true`;
    const mask = (resource: string, scope: string) =>
      `mask contains {"resource": "${resource}", "with": "hash", "scope": "${scope}"} if true`;
    const engine = await engineOfLayers(
      [part(`${filter('x')}\n${mask('a', 'source')}\n${mask('b', 'output')}`)],
      [part(`${filter('y')}\n${mask('c', 'source')}`)],
    );
    expect(engine.decide(inputOf()).filters).toEqual([
      { resource: 'r', where: 'x', code: 'f' },
      { resource: 'r', where: 'y', code: 'f', unseen: ['a'] },
    ]);
  });

  test('the data of each is told in their order, with a digest that is equal where they are', async () => {
    const data = async (...each: unknown[]) => {
      const engine = await engineOfLayers(...each.map((one): Parameters<typeof layerOf> => [part(''), {}, one]));
      return engine.current!.data('tools');
    };
    const first = await data({ tools: { saw: 1 } }, {});
    expect(first.documents).toEqual([{ saw: 1 }, undefined]);
    expect(Object.isFrozen(first.documents[0])).toBe(true);
    expect((await data({ tools: { saw: 1 }, other: 1 }, {})).digest).toBe(first.digest);
    expect((await data({}, { tools: { saw: 1 } })).digest).not.toBe(first.digest);
    expect(await data({}, { others: 1 })).toEqual({ documents: [undefined, undefined], digest: 'none' });
    const engine = await engineOfLayers([part(''), {}, { tools: 1 }]);
    expect(engine.current!.data('tools')).toBe(engine.current!.data('tools'));
  });

  test('masks that differ in their parameters only become redact', async () => {
    const mask = (keep: number) =>
      part(`mask contains {"resource": "a", "with": "partial", "parameters": {"keep": ${String(keep)}}} if true`);
    const engine = await engineOfLayers([mask(2)], [mask(4)]);
    expect(engine.decide(inputOf()).masks).toMatchObject([{ resource: 'a', with: 'redact' }]);
  });

  test('patterns with different kinds find together what each finds', async () => {
    const mask = (parameters: string) =>
      part(`mask contains {"resource": "*", "with": "pattern"${parameters}} if true`);
    const kinds = (...names: string[]) => mask(`, "parameters": {"kinds": ${JSON.stringify(names)}}`);
    const both = await engineOfLayers([kinds('card', 'iban')], [kinds('email', 'card')]);
    expect(both.decide(inputOf()).masks).toMatchObject([
      { resource: '*', with: 'pattern', parameters: { kinds: ['card', 'iban', 'email'] } },
    ]);
    const all = await engineOfLayers([kinds('card')], [mask('')]);
    const [only] = all.decide(inputOf()).masks;
    expect([only?.with, only?.parameters]).toEqual(['pattern', undefined]);
  });

  test('a later layer shows nothing of what an earlier one masks, by no function and no scope', async () => {
    const mask = (text: string) => part(`mask contains {"resource": "a", ${text}} if true`);
    const masked = async (first: string, second: string) =>
      (await engineOfLayers([mask(first)], [mask(second)])).decide(inputOf()).masks;
    // By itself each of these is the stricter one; a predicate, or the rest of a text, would show what was masked.
    expect(await masked('"with": "partial"', '"with": "hash", "scope": "output"')).toMatchObject([
      { with: 'hash', scope: 'source' },
    ]);
    expect(await masked('"with": "partial"', '"with": "pattern", "parameters": {"kinds": ["iban"]}')).toMatchObject([
      { with: 'redact', scope: 'source' },
    ]);
    expect(await masked('"with": "partial"', '"with": "truncate", "parameters": {"to": "second"}')).toMatchObject([
      { with: 'redact' },
    ]);
  });

  test('a later layer does not have run ahead what an earlier one holds', async () => {
    const ask = (more: string) => part(`approval contains {"groups": ["g"], "code": "ask"${more}} if true`);
    const previews = async (first: string, second: string) =>
      (await engineOfLayers([ask(first)], [ask(second)])).decide(inputOf()).approvals.map(({ preview }) => preview);
    expect(await previews('', ', "preview": "effect"')).toEqual([undefined, undefined]);
    expect(await previews(', "preview": "effect"', '')).toEqual(['effect', undefined]);
    const upon = await engineOfLayers([part('')], [ask(', "preview": "effect"')]);
    expect(upon.decide(inputOf()).approvals).toMatchObject([{ preview: 'effect' }]);
  });

  test('a later layer denies, or holds', async () => {
    const deny = await engineOfLayers([part('')], [part('deny contains {"code": "second"} if true')]);
    expect(codes(deny.decide(inputOf()))).toEqual(['second']);
    const hold = await engineOfLayers([part('')], [part('approval contains {"groups": ["g"], "code": "ask"} if true')]);
    expect(hold.decide(inputOf())).toMatchObject({
      outcome: 'hold',
      approvals: [{ code: 'ask' }],
      reasons: [{ code: 'ask' }],
    });
    const silent = await engineOfLayers([part('')], [part('', 'input.operation.opaque')]);
    expect(codes(silent.decide(inputOf()))).toEqual(['not_allowed']);
  });

  test('a layer without a package for the protocol neither allows nor denies, and the first must allow', async () => {
    const ssh = ['package policy.ssh\n', { packages: ['ssh'] }] as const;
    expect((await engineOfLayers([part('')], [...ssh])).decide(inputOf()).outcome).toBe('allow');
    expect(codes((await engineOfLayers([...ssh], [part('')])).decide(inputOf()))).toEqual(['not_allowed']);
  });

  test('what any layer reads is read', async () => {
    const engine = await engineOfLayers(
      [part(''), { reads: { postgres: ['principal.roles'] } }],
      [part(''), { reads: { postgres: ['operation.postgres.statements'] } }],
    );
    const reads = (path: string) => engine.current?.reads('postgres', path);
    expect([reads('principal.roles'), reads('principal'), reads('operation.postgres'), reads('operation.postgres.parameters'), reads('time')])
      .toEqual([true, true, true, false, false]); // prettier-ignore
    expect(engine.current?.reads('ssh', 'operation.ssh')).toBe(false);
  });

  test('a protocol whose reads are not known may read anything', async () => {
    const engine = await engineOf(allowAll);
    expect(engine.current?.reads('postgres', 'operation.postgres.parameters')).toBe(true);
  });
});
