import { describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findOpa } from '../bundles/opa.js';
import { compileRego, inFolder } from '../test/support/policy.js';
import { compiledAwayBuiltins, engineCapabilities, nativeBuiltins, suppliedBuiltins } from './builtins.js';
import { engineDefaults } from './engine.js';
import { WasmPolicy } from './wasm.js';

const run = promisify(execFile);

interface Capability {
  readonly name: string;
  readonly decl: { readonly args?: readonly ArgumentType[]; readonly result?: unknown };
  readonly nondeterministic?: boolean;
  readonly infix?: string;
}
interface ArgumentType {
  readonly type: string;
  readonly of?: readonly ArgumentType[] | ArgumentType;
}

async function capabilities(): Promise<Record<string, unknown> & { builtins: Capability[] }> {
  const { stdout } = await run(await findOpa(), ['capabilities', '--current'], { maxBuffer: 16_777_216 });
  return JSON.parse(stdout) as Record<string, unknown> & { builtins: Capability[] };
}

describe('the list of built-ins', () => {
  test('names only what OPA has, nothing twice, and nothing that is not deterministic', async () => {
    const known = new Map((await capabilities()).builtins.map((builtin) => [builtin.name, builtin]));
    expect(new Set(engineCapabilities).size).toBe(engineCapabilities.length);
    expect(
      engineCapabilities.filter((name) => known.get(name)?.nondeterministic !== undefined || !known.has(name)),
    ).toEqual([]);
    expect(engineCapabilities.length).toBe(
      nativeBuiltins.length + compiledAwayBuiltins.length + suppliedBuiltins.length,
    );
  });

  test('is right about each: native ones ask nothing of the host, supplied ones just for themselves', async () => {
    const { builtins } = await capabilities();
    const callable = (name: string) => !name.startsWith('internal.') && !compiledAwayBuiltins.includes(name);
    const used = builtins.filter(({ name }) => engineCapabilities.includes(name) && callable(name));
    const rules = used.map(({ name, decl }, index) => {
      const values = (decl.args ?? []).map((_, at) => `input.values[${String(at)}]`);
      const assigned =
        name === 'walk' ? `[_, x] := ${name}(${values.join(', ')})` : `x := ${name}(${values.join(', ')})`;
      return `_rule_${String(index)} := x if { ${assigned} }`;
    });
    const names = used.map((_, index) => `_rule_${String(index)}`);
    // Types that cannot meet are refused by the compiler: the input is unknown to it, so it asks nothing.
    const entry = `package sallyport\n${rules.join('\n')}\ndecision := [x | some x in [${names.map((name) => `[y | y := ${name}]`).join(', ')}]]\n`;
    const policy = await WasmPolicy.load('all', await compileRego([], { entry }), {}, engineDefaults);
    expect(policy.builtins).toEqual([...suppliedBuiltins].sort());
  });
});

/** Expressions that must come to the same in OPA's own interpreter and here. */
const expressions = [
  ...['%s', '%v', '%q', '%d', '%x', '%X', '%o', '%b', '%c', '%e', '%f', '%g', '%t', '%T', '%5d|', '%-5d|', '%05d|', '%+d', '%8.3f|', '%.2f', '%6s|', '%-6s|', '%.2s|', '%#x', '%#v', '%z', '%06.2f', '% d']
    .flatMap((verb) => ['"hi"', '42', '-7', '1.5', 'true', 'null']
      .filter((value) => !(value === '1.5' && /[xXb]/.test(verb))).map((value) => `sprintf("${verb}", [${value}])`)), // prettier-ignore
  'sprintf("%v %v %v", [{"b", "a", 1, true, null}, {"k": [1, 2.5, null], "a": {"z"}}, set()])',
  'sprintf("%s", [["x\\u0001", {"y": {{2}, {1}}}]])',
  'sprintf("%v %v %v %g", [123456789.5, 1000000.5, 100000.5, 12345678.5])', 'sprintf("%.3g %.10g %G", [123456.5, 1.5, 0.00001])', 'sprintf("%U %U", [-7, 8364])', 'semver.is_valid("v1.2.3")', 'semver.is_valid("V1.2.3")', 'semver.is_valid("vv1.2.3")', 'semver.compare("v1.2.3", "1.2.3")', 'semver.is_valid("1.0.0-01")', 'semver.is_valid("1.0.0+b..c")',
  'sprintf("%d%%", [5])', 'sprintf("%d", [])', 'sprintf("none", [1, "a", 2.5])', 'sprintf("%", [1])', 'sprintf("%!", [1])',
  'sprintf("%v %v %v %v", [1e21, 1e20, 1e-5, 0.0001])', 'sprintf("%d", [123456789012345678901234567890])', 'sprintf("%s äöü %5s|", ["€", "€"])',
  'strings.any_prefix_match("abc", {"x", "ab"})', 'strings.any_prefix_match(["q", "abc"], "b")', 'strings.any_suffix_match(["abc"], ["bc"])',
  'strings.count("cheese", "e")', 'strings.count("aaaa", "aa")', 'strings.count("äb", "")', 'indexof_n("sad", "a")', 'indexof_n("aäaäa", "a")', 'indexof_n("aaaa", "aa")', 'indexof_n("a", "")',
  'semver.is_valid("1.2.3-rc.1+b")', 'semver.is_valid("1.2")', 'semver.is_valid("01.2.3")', 'semver.is_valid(5)',
  'semver.compare("1.2.3", "1.10.0")', 'semver.compare("1.0.0-rc.1", "1.0.0")', 'semver.compare("1.0.0-rc.2", "1.0.0-rc.10")', 'semver.compare("1.0.0-1", "1.0.0-a")', 'semver.compare("1", "2")',
  'hex.encode("äb")', 'hex.decode("c3a462")', 'hex.decode("zz")', 'hex.decode("abc")',
  'crypto.sha256("a")', 'crypto.sha1("a")', 'crypto.hmac.sha256("text", "key")', 'crypto.hmac.sha512("text", "key")', 'glob.quote_meta("*.{a,b}[c]?\\\\")',
  'time.parse_duration_ns("1h30m")', 'time.parse_duration_ns("-1.5s")', 'time.parse_duration_ns("0")', 'time.parse_duration_ns("1")', 'time.parse_duration_ns(".5ms")', 'time.parse_duration_ns("300h1us2ns")',
  'time.parse_rfc3339_ns("2026-11-22T09:00:00Z")', 'time.parse_rfc3339_ns("2026-11-22T09:00:00.123456789+02:00")', 'time.parse_rfc3339_ns("2026-02-31T09:00:00Z")', 'time.parse_rfc3339_ns("2026-11-22 09:00:00Z")', 'time.parse_rfc3339_ns("2026-11-22T24:00:00Z")',
  'time.clock(time.parse_rfc3339_ns("2026-11-22T09:05:07Z"))', 'time.date([time.parse_rfc3339_ns("2026-11-22T23:30:00-05:00"), "UTC"])', 'time.weekday(time.parse_rfc3339_ns("2026-11-22T09:00:00Z"))', 'time.clock(-1)',
]; // prettier-ignore

test('what is supplied in part is an error beyond it, and an error is a deny', async () => {
  const beyond = [
    'sprintf("%x", [1.5])',
    'sprintf("%[1]d", [1])',
    'sprintf("%*d", [1, 2])',
    'time.parse_duration_ns("1d")',
    'time.clock([1, "Europe/Berlin"])',
  ];
  const entry = `package sallyport\n${beyond.map((expression, index) => `decision := ${expression} if input.n == ${String(index)}`).join('\n')}\n`;
  const policy = await WasmPolicy.load('beyond', await compileRego([], { entry }), {}, engineDefaults);
  for (const [index] of beyond.entries())
    expect(() => policy.evaluate(new TextEncoder().encode(`{"n": ${String(index)}}`).buffer)).toThrow(/supported/);
});

test('supplied built-ins say what OPA says', async () => {
  const entry = `package sallyport
decision := {"answers": {${expressions.map((expression, index) => `"${String(index)}": [json.marshal(x) | x := ${expression}]`).join(',\n')}}}\n`;
  const policy = await WasmPolicy.load('oracle', await compileRego([], { entry }), {}, engineDefaults);
  const answer = policy.evaluate(new TextEncoder().encode('{"n": 1}').buffer) as [
    { result: { answers: Record<string, unknown> } },
  ];
  const oracle = await inFolder({ 'entry.rego': entry }, async (folder) => {
    const { stdout } = await run(await findOpa(), ['eval', '--format', 'raw', '-d', join(folder, 'entry.rego'), 'data.sallyport.decision.answers', '--stdin-input'].slice(0, -1), { maxBuffer: 16_777_216 });
    return JSON.parse(stdout === '' ? '{}' : stdout) as Record<string, unknown>;
  }); // prettier-ignore
  const here = expressions.map((expression, index) => [expression, answer[0].result.answers[String(index)]]);
  expect(here).toEqual(expressions.map((expression, index) => [expression, oracle[String(index)]]));
});
