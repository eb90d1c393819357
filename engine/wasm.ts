import * as sdk from '@open-policy-agent/opa-wasm';
import type { LoadedPolicy } from '@open-policy-agent/opa-wasm';
import { callBuiltin, suppliedBuiltins } from './host.js';
import { HostLimitError, PolicyLoadError, thrownText } from './errors.js';
import { fuelExport, meter } from './fuel.js';
import { parseTerm } from './regotext.js';

/**
 * One compiled policy in WebAssembly, and the only file that knows the package that speaks its ABI.
 *
 * The package's `LoadedPolicy` lays out input, data and result in the module's memory. The module is instantiated here
 * and not by the package's `loadPolicy`, because the host functions have to be ours: the package's own built-ins cannot
 * be overridden, and of them regex.split backtracks without bound and sprintf is not Rego's.
 *
 * @see https://www.openpolicyagent.org/docs/latest/wasm/ (ABI 1.3)
 */

export const entryPoint = 'sallyport/decision';

const page_bytes = 65_536;
/** Data in the module's memory over the same data as JSON: 15 was measured at 6.4 MB. */
const dataExpansion = 24;
const initial_pages = 8;

export interface Bounds {
  /** How far the counter of engine/fuel.ts may run in one evaluation. 0: no counter is put in, for measuring its cost. */
  readonly fuel_max: number;
  /** What an evaluation may take of memory, beside what the policy's data take. */
  readonly memory_bytes_max: number;
}

/** Why an evaluation gave no result. `budget`: it would have taken too long, or too much memory. */
export class EvaluationError extends Error {
  readonly kind: 'budget' | 'error';
  /** True where the same input runs into the same end again: the fuel is counted, not timed. */
  readonly repeats: boolean;

  constructor(kind: 'budget' | 'error', message: string, repeats: boolean, cause: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.repeats = repeats;
  }
}

interface Exports {
  readonly builtins: () => number;
  readonly entrypoints: () => number;
  readonly opa_json_dump: (address: number) => number;
  readonly opa_value_dump: (address: number) => number;
  readonly opa_value_parse: (address: number, length: number) => number;
  readonly opa_malloc: (size: number) => number;
  readonly opa_wasm_abi_version: WebAssembly.Global;
  readonly opa_wasm_abi_minor_version: WebAssembly.Global;
  readonly [fuelExport]?: WebAssembly.Global;
}

/** The package's types name the class, and its ES module hands it out under `default` only. */
const { LoadedPolicy: Policy } = (sdk as unknown as { default: { LoadedPolicy: typeof LoadedPolicy } }).default;
const encoder = new TextEncoder();

/** Text that ends with a NUL, in the module's memory. */
function readText(memory: WebAssembly.Memory, address: number): string {
  const bytes = Buffer.from(memory.buffer);
  return bytes.toString('utf8', address, bytes.indexOf(0, address));
}

/** One instance of a module: its memory, its data, its counter. */
class Instance {
  readonly policy: LoadedPolicy;
  readonly fuel: WebAssembly.Global | undefined;
  readonly builtins: readonly string[];

  constructor(module: WebAssembly.Module, data: ArrayBuffer, pages_max: number) {
    const memory = new WebAssembly.Memory({ initial: initial_pages, maximum: pages_max });
    const names = new Map<number, string>();
    // The counter is known only once the module stands; no built-in is called before that.
    const host: Host = { memory, names, exports: undefined };
    const instance = new WebAssembly.Instance(module, { env: hostFunctions(host) });
    const exports = (host.exports = instance.exports as unknown as Exports);
    const version = `${String(exports.opa_wasm_abi_version.value)}.${String(exports.opa_wasm_abi_minor_version.value)}`;
    if (!/^1\.[2-9]$/.test(version))
      throw new Error(`it speaks version ${version} of OPA's ABI, and 1.2 or later is needed`);
    this.fuel = exports[fuelExport];
    // What runs before the first evaluation is bounded by the size of the data.
    if (this.fuel !== undefined) this.fuel.value = 2n ** 62n;
    const declared = JSON.parse(readText(memory, exports.opa_json_dump(exports.builtins()))) as Record<string, number>;
    for (const [name, id] of Object.entries(declared)) names.set(id, name);
    this.builtins = Object.keys(declared).sort();
    this.policy = new Policy({ instance, module }, memory, exports.opa_wasm_abi_minor_version.value);
    this.policy.setData(data);
  }
}

interface Host {
  readonly memory: WebAssembly.Memory;
  readonly names: ReadonlyMap<number, string>;
  exports: Exports | undefined;
}

/** What the module imports: its memory, and the built-ins that it does not have itself. */
function hostFunctions(host: Host): Record<string, WebAssembly.ImportValue> {
  const call = (id: number, _context: number, ...addresses: number[]): number => {
    const exports = host.exports!;
    const name = host.names.get(id) ?? `number ${String(id)}`;
    const argumentsJson = addresses.map((address) => readText(host.memory, exports.opa_json_dump(address)));
    const regoText = (index: number) => readText(host.memory, exports.opa_value_dump(addresses[index]!));
    const result = callBuiltin(name, argumentsJson, {
      regoText,
      term: (index) => parseTerm(regoText(index)),
      charge: (fuel) => {
        const counter = exports[fuelExport];
        if (counter === undefined) return;
        const left = (counter.value as bigint) - BigInt(fuel);
        counter.value = left;
        if (left < 0n) throw new HostLimitError(`the built-in ${name} was given too much to do`);
      },
    });
    if (result === undefined) return 0;
    const bytes = encoder.encode(result);
    const address = exports.opa_malloc(bytes.length);
    new Uint8Array(host.memory.buffer).set(bytes, address);
    return exports.opa_value_parse(address, bytes.length);
  };
  return {
    memory: host.memory,
    opa_abort: (address: number) => {
      throw new Error(readText(host.memory, address));
    },
    opa_println: () => undefined,
    opa_builtin0: call,
    opa_builtin1: call,
    opa_builtin2: call,
    opa_builtin3: call,
    opa_builtin4: call,
  };
}

/** A policy that can be evaluated. Whatever ends an evaluation early costs the instance, and a new one takes its place. */
export class WasmPolicy {
  readonly #module: WebAssembly.Module;
  readonly #data: ArrayBuffer;
  readonly #pages_max: number;
  readonly #fuel_max: bigint;
  #instance: Instance | undefined;

  private constructor(module: WebAssembly.Module, data: ArrayBuffer, bounds: Bounds) {
    this.#module = module;
    this.#data = data;
    this.#fuel_max = BigInt(bounds.fuel_max);
    const bytes = bounds.memory_bytes_max + data.byteLength * dataExpansion;
    this.#pages_max = Math.min(65_536, initial_pages + Math.ceil(bytes / page_bytes));
    this.#instance = new Instance(module, data, this.#pages_max);
  }

  /** @throws {PolicyLoadError} where the module is not a policy that this engine can judge by. */
  static async load(name: string, wasm: Uint8Array, data: unknown, bounds: Bounds): Promise<WasmPolicy> {
    if (typeof data !== 'object' || data === null || Array.isArray(data))
      throw new PolicyLoadError(name, 'its data are not an object.');
    let policy: WasmPolicy;
    try {
      const bytes = bounds.fuel_max > 0 ? meter(wasm) : Uint8Array.from(wasm);
      policy = new WasmPolicy(await WebAssembly.compile(bytes), encoder.encode(JSON.stringify(data)).buffer, bounds);
    } catch (thrown) {
      throw new PolicyLoadError(name, `its WebAssembly cannot be used: ${thrownText(thrown)}.`, { cause: thrown });
    }
    const instance = policy.#instance!;
    const missing = instance.builtins.filter((builtin) => !suppliedBuiltins.includes(builtin));
    if (missing.length > 0)
      throw new PolicyLoadError(
        name,
        `it calls ${missing.join(', ')}, which this engine does not have. Write the rules without, or have the ` +
          'gateway put what they need into the input. "sallyport check" says where they stand.',
      );
    if (!Object.hasOwn(instance.policy.entrypoints as object, entryPoint))
      throw new PolicyLoadError(name, `it was built without the entry point ${entryPoint}.`);
    return policy;
  }

  /** Built-ins that the module asks of its host. */
  get builtins(): readonly string[] {
    return this.#instance?.builtins ?? [];
  }

  /** What the last evaluation used of its fuel. */
  get fuelUsed(): number {
    const left = this.#instance?.fuel?.value as bigint | undefined;
    return left === undefined ? 0 : Number(this.#fuel_max - left);
  }

  /**
   * The result set of the entry point, as the module gave it.
   *
   * @param input A JSON object in UTF-8: the ABI takes malformed JSON for no input at all, without a word.
   * @throws {EvaluationError}
   */
  evaluate(input: ArrayBuffer): unknown {
    const instance = (this.#instance ??= new Instance(this.#module, this.#data, this.#pages_max));
    try {
      if (instance.fuel !== undefined) instance.fuel.value = this.#fuel_max;
      return instance.policy.evaluate(input, entryPoint) as unknown;
    } catch (thrown) {
      // Unwinding leaves the module's own stack pointer and free lists where they were: the instance cannot be trusted.
      this.#instance = undefined;
      throw classify(thrown, instance);
    }
  }
}

function classify(thrown: unknown, instance: Instance): EvaluationError {
  const text = thrownText(thrown);
  if (instance.fuel !== undefined && (instance.fuel.value as bigint) < 0n)
    return new EvaluationError('budget', 'The policy took more steps than an evaluation may.', true, thrown);
  if (thrown instanceof HostLimitError)
    return new EvaluationError('budget', `The policy took too much: ${text}.`, true, thrown);
  if (/opa_malloc|out of memory|memory\.grow|Maximum memory size/i.test(text))
    return new EvaluationError('budget', 'The policy took more memory than an evaluation may.', false, thrown);
  if (thrown instanceof RangeError || /call stack/i.test(text))
    return new EvaluationError('budget', 'The policy went deeper than an evaluation may.', false, thrown);
  return new EvaluationError('error', text, false, thrown);
}
