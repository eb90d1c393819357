import { beforeAll, describe, expect, test } from '@jest/globals';
import { compileRego } from '../test/support/policy.js';
import { engineDefaults } from './engine.js';
import { fuelExport, meter } from './fuel.js';
import { EvaluationError, WasmPolicy } from './wasm.js';

/** Ways to run for ever, or for long enough. The input names one. */
const runaways: Record<string, string> = {
  loop: 'count([1 | some i in numbers.range(1, 100000000); i > 0])',
  nested:
    'count([1 | some i in numbers.range(1, 1000); some j in numbers.range(1, 1000); some k in numbers.range(1, 1000); i + j + k == 0])',
  comprehension: '{[i, j] | some i in numbers.range(1, 1000); some j in numbers.range(1, 1000)}',
  text: 'count(concat("", [input.long | some i in numbers.range(1, 100000)]))',
  regex:
    'count([1 | some i in numbers.range(1, 100000); regex.match("(a+)+$", concat("", ["aaaaaaaaaaaaaaaaaaaab", format_int(i, 10)]))])',
  glob: 'count([1 | some i in numbers.range(1, 100000); glob.match(concat("", ["*.", format_int(i, 10)]), ["."], "a.b.c")])',
  walk: 'count([1 | some i in numbers.range(1, 1000); some j in numbers.range(1, 1000); walk(input, [_, _])])',
  host: 'count([1 | some i in numbers.range(1, 1000000); sprintf("%d-%s", [i, "abc"]) != ""])',
  wide: 'sprintf("%1000000d%1000000d", [1, 2])',
  affixes:
    'strings.any_prefix_match([format_int(i, 10) | some i in numbers.range(1, 9000)], [format_int(i, 2) | some i in numbers.range(1, 9000)])',
};

const names = Object.keys(runaways);
let wasm: Uint8Array;
beforeAll(async () => {
  const rules = names.map((name) => `decision := ${runaways[name]!} if input.run == "${name}"`);
  wasm = await compileRego([], {
    entry: `package sallyport\n${rules.join('\n')}\ndecision := input.run if input.run == "nothing"\n`,
  });
});

const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).buffer;
const load = (bounds: { fuel_max?: number; memory_bytes_max?: number } = {}) =>
  WasmPolicy.load('test', wasm, {}, { ...engineDefaults, ...bounds });

function endOf(policy: WasmPolicy, run: string): EvaluationError | undefined {
  try {
    policy.evaluate(bytesOf({ run, long: 'x'.repeat(10_000) }));
    return undefined;
  } catch (thrown) {
    if (thrown instanceof EvaluationError) return thrown;
    throw thrown;
  }
}

describe('a runaway policy', () => {
  test.each(names)('ends by itself: %s', async (name) => {
    const policy = await load();
    const start = process.cpuUsage();
    expect(endOf(policy, name)?.kind).toBe('budget');
    const { user, system } = process.cpuUsage(start);
    // Many times what was measured on two busy cores (docs/decisions/0001), and a hundredth of what it would take.
    expect((user + system) / 1000).toBeLessThan(6_000);
    expect(policy.evaluate(bytesOf({ run: 'nothing' }))).toEqual([{ result: 'nothing' }]);
  });

  test('is stopped at the same step in every run', async () => {
    const [first, second] = [await load(), await load()];
    for (const policy of [first, second]) policy.evaluate(bytesOf({ run: 'nothing' }));
    expect(first.fuelUsed).toBeGreaterThan(0);
    expect(second.fuelUsed).toBe(first.fuelUsed);
    const exact = await load({ fuel_max: first.fuelUsed });
    expect(exact.evaluate(bytesOf({ run: 'nothing' }))).toEqual([{ result: 'nothing' }]);
    const short = await load({ fuel_max: first.fuelUsed - 1 });
    expect(endOf(short, 'nothing')).toMatchObject({ kind: 'budget', repeats: true });
  });

  test('that takes memory is stopped by the bound on memory, and the next evaluation has room again', async () => {
    const policy = await load({ fuel_max: 100_000_000_000, memory_bytes_max: 4_194_304 });
    for (let time = 0; time < 20; time++)
      expect(endOf(policy, 'comprehension')).toMatchObject({ kind: 'budget', repeats: false });
    expect(policy.evaluate(bytesOf({ run: 'nothing' }))).toEqual([{ result: 'nothing' }]);
  });
});

describe('metering', () => {
  test('gives a valid module with one more export', () => {
    const module = new WebAssembly.Module(meter(wasm));
    const before = WebAssembly.Module.exports(new WebAssembly.Module(Uint8Array.from(wasm)));
    expect(WebAssembly.Module.exports(module)).toEqual([...before, { name: fuelExport, kind: 'global' }]);
  });

  test('refuses what is cut off anywhere', () => {
    for (let length = 0; length < wasm.length; length += 997) {
      const cut = wasm.slice(0, length);
      let metered: Uint8Array | undefined;
      try {
        metered = meter(cut);
      } catch (thrown) {
        expect((thrown as Error).name).toBe('WasmFormatError');
      }
      // Cut between two sections it is well formed, and no policy.
      if (metered !== undefined) expect(WebAssembly.validate(metered)).toBe(WebAssembly.validate(cut));
    }
  });

  /** (module (memory 1) (func (memory.fill …))): one instruction, as much work as its operand says. */
  test('refuses instructions that do unbounded work, and unknown ones', () => {
    const moduleOf = (...code: number[]) =>
      Uint8Array.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 5, 3, 1, 0, 1, 10, code.length + 4, 1, code.length + 2, 0, ...code, 0x0b]); // prettier-ignore
    expect(WebAssembly.validate(moduleOf(0x41, 0, 0x41, 0, 0x41, 1, 0xfc, 11, 0))).toBe(true);
    expect(() => meter(moduleOf(0x41, 0, 0x41, 0, 0x41, 1, 0xfc, 11, 0))).toThrow(/0xfc 11 cannot be bounded/);
    expect(() => meter(moduleOf(0xfd, 0))).toThrow(/0xfd is not known/);
    expect(WebAssembly.validate(meter(moduleOf(0x01)))).toBe(true);
  });
});
