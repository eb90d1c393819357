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

/* eslint-disable no-template-curly-in-string -- Rego's own templates */
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
  'time.parse_duration_ns("1.5d")', 'time.parse_duration_ns("2w1y")', 'time.clock([1517832000000000000, "America/New_York"])', 'time.date([1517832000000000000, "Asia/Kathmandu"])', 'time.clock([0, "Nowhere/Atall"])', 'time.clock(1e25)',
  'time.format(1517832000123456789)', 'time.format([1517832000123456789, "Europe/Berlin"])', 'time.format([1517832000123456789, "Europe/Berlin", "RFC1123Z"])', 'time.format([1517832000123456789, "UTC", "UnixDate"])', 'time.format([1517832000123000000, "", "Monday Jan _2 002 __2 3:4:5.000 pm 06 .999 -07 Z07:00:00"])', 'time.format([0, "UTC", "Janet Monkey _2006 1 2"])',
  'time.parse_ns("RFC1123", "Mon, 05 Feb 2018 12:00:00 UTC")', 'time.parse_ns("2006-01-02", "2018-02-30")', 'time.parse_ns("2006-01-02 15:04", "2018-02-28 23:59")', 'time.parse_ns("Jan _2 2006 3:04PM", "feb  5 2018 1:30PM")', 'time.parse_ns("2006-002", "2020-060")', 'time.parse_ns("RFC822", "02 Jan 06 15:04 PST")', 'time.parse_ns("15:04:05", "12:30:45.25")',
  'time.add_date(1517832000000000000, 1, -3, 45)', 'time.add_date(1582934400000000000, 1, 0, 0)', 'time.diff(1517832000000000000, 1480000000000000000)', 'time.diff([1517832000000000000, "America/New_York"], 1519999999000000000)',
  'regex.replace("foobar", "o+", "<$0>")', 'regex.replace("a1b22", "(?P<d>[0-9]+)", "[${d}]$$")', 'regex.replace("abc", "", "-")', 'regex.split("a*", "baaac")', 'regex.split(",", "a,,b,")', 'regex.split("(", "x")', 'regex.find_n("[a-z]*", "a1bc", -1)', 'regex.find_n("a", "aaa", 2)', 'regex.template_match("urn:{[a-z]+}:x", "urn:foo:x", "{", "}")', 'regex.template_match("urn:{[a-z]+", "urn:foo", "{", "}")',
  'json.patch({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": {"x"}}, {"op": "remove", "path": "/a/0"}])', 'json.patch({"a/b": 1}, [{"op": "move", "from": "/a~1b", "path": "c"}, {"op": "test", "path": "c", "value": 1}])', 'json.patch({"a": 1}, [{"op": "remove", "path": "/b"}])', 'json.patch([1], [{"op": "replace", "path": "/00", "value": 2}])', 'json.patch({"a": {"b"}}, [{"op": "add", "path": ["a", "c"], "value": "c"}])',
  'object.subset({"a": {"b": [1, 2, 3]}, "c": {1, 2}}, {"a": {"b": [2, 3]}, "c": {2}})', 'object.subset([1, 1], {1, 2})', 'object.subset([1, 2, 1, 3], [1, 3])', 'object.subset({1}, [1])', 'json.marshal_with_options({"b": [1, "<"], "a": {}}, {"indent": "  ", "prefix": "> "})', 'json.marshal_with_options({"b": 1}, {"pretty": false, "indent": " "})',
  'units.parse("1.5Ki")', 'units.parse("200m")', 'units.parse("1e3M")', 'units.parse("12E")', 'units.parse_bytes("1.5MiB")', 'units.parse_bytes("10b")', 'units.parse_bytes("1KB")', 'units.parse("x")', 'numbers.range_step(1, 10, 3)', 'numbers.range_step(5, -5, 4)', 'numbers.range_step(1, 2, 0)',
  'net.cidr_merge(["10.0.0.0/24", "10.0.1.0/24", "192.168.1.7"])', 'net.cidr_merge(["2001:db8::/33", "2001:db8:8000::/33"])', 'net.cidr_expand("10.0.0.252/30")', 'net.cidr_expand("2001:db8::/126")', 'net.cidr_is_valid("10.0.0.0/33")', 'net.cidr_is_valid("10.0.0.01/8")', 'net.cidr_is_valid("::/0")', 'net.cidr_contains_matches({"a": "10.0.0.0/8", "b": ["::/0", 1]}, ["10.1.1.1", "::1"])',
  'graph.reachable_paths({"a": {"b", "c"}, "b": ["d"], "c": [], "d": ["a"]}, {"a"})', 'urlquery.encode("a b&ü!*()~")', 'urlquery.decode("a+b%26%zz")', 'urlquery.decode("a+b%26")', 'urlquery.encode_object({"b": ["2", "1"], "a": "x y"})', 'urlquery.decode_object("a=1&b&a=%20;")', 'urlquery.decode_object("a=1&b&a=%20")',
  'uuid.parse("00000000-0000-1000-8000-00805f9b34fb")', 'uuid.parse("{6ba7b810-9dad-41d1-80b4-00c04fd430c8}")', 'uuid.parse("000003e8-1d2d-21ef-9200-325096b39f47")', 'uuid.parse("nonsense")', 'uri.parse("HTTPS://u:p@[2001:db8::1%25en0]:8443/a%2Fb?x=1#f%20g")', 'uri.parse("mailto:ada@example.com")', 'uri.is_valid("a:b:c//")', 'uri.is_valid("1a:b/c")',
  'strings.split_n("a,b,c", ",", 2)', 'strings.split_n("a,b,c", ",", -1)', 'base64url.encode_no_pad("a?>")', 'crypto.md5("a")', 'crypto.hmac.md5("text", "key")', 'crypto.hmac.sha1("text", "key")', 'crypto.hmac.equal("a", "a")', 'crypto.hmac.equal("a", "ab")', 'sprintf("%s %d", [123456789123456789123, 123456789123456789123])', 'sprintf("%.1f", [.5])',
  'io.jwt.decode("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwIiwiaXNzIjoib3BhIn0.XmVoLoHI3pxMtMO_WRONMSJzGUDP9pDjy8Jp0_tdRXY")', 'io.jwt.verify_hs256("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwIiwiaXNzIjoib3BhIn0.XmVoLoHI3pxMtMO_WRONMSJzGUDP9pDjy8Jp0_tdRXY", "secret")', 'io.jwt.decode("a.b")', 'trace("x")',
]; // prettier-ignore

test('what is supplied in part is an error beyond it, and an error is a deny', async () => {
  const beyond = [
    'sprintf("%x", [1.5])',
    'sprintf("%[1]d", [1])',
    'sprintf("%*d", [1, 2])',
    'time.clock([1, "Local"])',
    'time.format([1, "Europe/Berlin", "MST"])',
  ];
  const entry = `package sallyport\n${beyond.map((expression, index) => `decision := ${expression} if input.n == ${String(index)}`).join('\n')}\n`;
  const policy = await WasmPolicy.load('beyond', await compileRego([], { entry }), {}, engineDefaults);
  for (const [index] of beyond.entries())
    expect(() => policy.evaluate(new TextEncoder().encode(`{"n": ${String(index)}}`).buffer)).toThrow(/supported/);
});

/** JSON without what it leaves open: the order of what was a set, and of keys. Long numbers keep their digits. */
function comparable(json: string): unknown {
  const order = (value: unknown): unknown => {
    if (Array.isArray(value))
      return value.map(order).sort((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, one]) => [key, order(one)] as const)
        .sort(([one], [other]) => (one < other ? -1 : 1)),
    );
  };
  return order(JSON.parse(json.replace(/(?<=^|[[:,])-?\d{16,}(?=$|[,\]}])/g, '"$&"')));
}

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
  const said = (answers: Record<string, unknown>) =>
    expressions.map((expression, index) => [expression, (answers[String(index)] as string[]).map(comparable)]);
  expect(said(answer[0].result.answers)).toEqual(said(oracle));
});
