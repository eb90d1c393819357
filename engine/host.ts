import { HostLimitError } from './errors.js';
import { writeValue, type Call, type Table } from './host/builtin.js';
import { crypto } from './host/crypto.js';
import { encoding } from './host/encoding.js';
import { graph } from './host/graph.js';
import { json } from './host/json.js';
import { jwt } from './host/jwt.js';
import { net } from './host/net.js';
import { numbers } from './host/numbers.js';
import { regex } from './host/regex.js';
import { semver } from './host/semver.js';
import { text } from './host/text.js';
import { time } from './host/time.js';
import { uri } from './host/uri.js';
import { plainValue } from './regotext.js';

/**
 * Built-ins of Rego that a compiled policy asks of its host. Each is deterministic, does no I/O, knows no clock, and
 * takes time in proportion to its arguments. As in OPA, one that is given something it cannot use is undefined.
 *
 * What would make a decision depend on anything but the input is left out, and so is what differs from Go in ways that
 * nobody would notice (YAML, Go's own templates); a policy that calls it is refused (bundles/unsupplied.ts).
 */

/** All arguments of one call together, as JSON. */
const argument_bytes_max = 1_048_576;
const result_bytes_max = 1_048_576;
/** Parsing and writing JSON takes about four times as long per byte as one step of WebAssembly. */
const fuelPerByte = 4;

const table: Table = {
  ...crypto,
  ...encoding,
  ...graph,
  ...json,
  ...jwt,
  ...net,
  ...numbers,
  ...regex,
  ...semver,
  ...text,
  ...time,
  ...uri,
};

/** What this engine supplies to a policy that asks for it; a policy that asks for anything else is refused. */
export const suppliedBuiltins: readonly string[] = Object.keys(table).sort();

/**
 * Answers one call.
 *
 * @param json The arguments, each as JSON.
 * @returns The answer as Rego writes it, or undefined where the built-in is undefined for these arguments.
 * @throws where the arguments or the answer are too large, or the name is not supplied: the evaluation ends.
 */
export function callBuiltin(name: string, json: readonly string[], call: Call): string | undefined {
  const builtin = Object.hasOwn(table, name) ? table[name] : undefined;
  if (builtin === undefined) throw new Error(`the built-in ${name} is not supplied`);
  const size = json.reduce((sum, text) => sum + text.length, 0);
  if (size > argument_bytes_max) throw new HostLimitError(`the built-in ${name} was given ${String(size)} bytes`);
  call.charge(size * fuelPerByte);
  const value = builtin(
    json.map((text, index) => readJson(text, index, call)),
    call,
  );
  if (value === undefined) return undefined;
  const answer = writeValue(value);
  if (answer.length > result_bytes_max)
    throw new HostLimitError(`the built-in ${name} made ${String(answer.length)} bytes`);
  call.charge(answer.length * fuelPerByte);
  return answer;
}

/** A number may be written as policy has it, ".5", which is no JSON. */
function readJson(text: string, index: number, call: Call): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return plainValue(call.term(index));
  }
}
