import { WasmFormatError } from './errors.js';

/**
 * Puts a fuel counter into a compiled policy, so that an evaluation ends by itself however the policy is written.
 *
 * Nothing interrupts WebAssembly that runs on our own thread, and a thread of its own costs a hop per statement. So the
 * module interrupts itself: a global counts down at each function entry and at each loop head, by the number of
 * instructions that stand there, and the module traps when it is below zero. Code that passes neither a function entry
 * nor a loop head is straight, hence short; the shortest functions are paid for by their callers. The count is the same in every run, on every machine.
 *
 *     (func … (loop … (call $opa_builtin1 …) … (br 0)))
 *     becomes
 *     (func charge(9) … (loop charge(17) … charge(host_call) (call $opa_builtin1 …) … (br 0)))
 *
 * where charge(n) is: fuel -= n; if (fuel < 0) unreachable. It leaves the operand stack alone, so it fits anywhere.
 *
 * @see https://webassembly.github.io/spec/core/binary/modules.html
 * @see docs/decisions/0001-bounding-evaluations.md
 */

/** The name under which the instrumented module exports its counter: a mutable i64, set before each evaluation. */
export const fuelExport = 'sallyport_fuel';

/** What one call of the host costs, beside what the built-in itself charges: its arguments cross as JSON. */
export const hostCallFuel = 2_000;

/** What may run before anybody sets the counter: the module's own start function. */
const startFuel = 1_000_000_000n;

const sections = { type: 1, import: 2, function: 3, global: 6, export: 7, start: 8, code: 10 } as const;

/** Reads what WebAssembly is written in: bytes and LEB128 numbers. */
class Reader {
  position: number;

  constructor(
    readonly bytes: Uint8Array,
    start = 0,
    readonly end = bytes.length,
  ) {
    this.position = start;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  byte(): number {
    if (this.position >= this.end) throw new WasmFormatError('The module ends too early', this.position);
    return this.bytes[this.position++]!;
  }

  skip(count: number): void {
    this.position += count;
    if (this.position > this.end) throw new WasmFormatError('The module ends too early', this.end);
  }

  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
    }
    throw new WasmFormatError('A number is too long', this.position);
  }

  /** Passes over a LEB128 number of any width up to 64 bits. */
  number(): void {
    for (let count = 0; count < 10; count++) if (this.byte() < 0x80) return;
    throw new WasmFormatError('A number is too long', this.position);
  }

  name(): string {
    const length = this.u32();
    const start = this.position;
    this.skip(length);
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, length).toString('utf8');
  }
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}

function signed(value: bigint): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    const low = Number(rest & 0x7fn);
    const last = (rest >> 7n === 0n && low < 0x40) || (rest >> 7n === -1n && low >= 0x40);
    bytes.push(last ? low : low | 0x80);
    if (last) return bytes;
  }
}

interface Section {
  readonly id: number;
  /** Of the content, without id and size. */
  readonly start: number;
  readonly end: number;
}

function readSections(bytes: Uint8Array): Section[] {
  const header = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
  if (header.some((byte, index) => bytes[index] !== byte))
    throw new WasmFormatError('This is not a WebAssembly module', 0);
  const reader = new Reader(bytes, header.length);
  const found: Section[] = [];
  while (!reader.done) {
    const id = reader.byte();
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    found.push({ id, start, end: reader.position });
  }
  return found;
}

/** How many functions and globals come from outside: indices count them first. */
function countImports(reader: Reader): { functions: number; globals: number } {
  const counts = { functions: 0, globals: 0 };
  for (let left = reader.u32(); left > 0; left--) {
    reader.name();
    reader.name();
    const kind = reader.byte();
    if (kind === 0) {
      reader.u32();
      counts.functions++;
    } else if (kind === 1 || kind === 2) {
      if (kind === 1) reader.byte();
      const limits = reader.byte();
      reader.u32();
      if ((limits & 1) === 1) reader.u32();
    } else if (kind === 3) {
      reader.skip(2);
      counts.globals++;
    } else throw new WasmFormatError(`An import of the unknown kind ${String(kind)}`, reader.position);
  }
  return counts;
}

/** Where a charge is put, and how much: a loop's cost is known only at its end. */
interface Charge {
  readonly position: number;
  cost: number;
}

const opcode = {
  block: 0x02, loop: 0x03, if: 0x04, else: 0x05, end: 0x0b, br: 0x0c, brIf: 0x0d, brTable: 0x0e,
  call: 0x10, callIndirect: 0x11, selectTyped: 0x1c,
  localGet: 0x20, globalSet: 0x24, firstLoad: 0x28, lastStore: 0x3e, memorySize: 0x3f, memoryGrow: 0x40,
  i32Const: 0x41, i64Const: 0x42, f32Const: 0x43, f64Const: 0x44, firstNumeric: 0x45, lastNumeric: 0xc4, extended: 0xfc,
} as const; // prettier-ignore

/** Passes over what follows an opcode. An instruction that is not known here is refused: its cost is not known either. */
function skipImmediates(code: number, reader: Reader): void {
  switch (code) {
    case 0x00: case 0x01: case 0x0f: case 0x1a: case 0x1b:
    case opcode.else: case opcode.end:
      return;
    case opcode.block: case opcode.loop: case opcode.if:
    case opcode.br: case opcode.brIf: case opcode.call:
    case opcode.i32Const: case opcode.i64Const:
      reader.number();
      return;
    case opcode.brTable:
      for (let left = reader.u32() + 1; left > 0; left--) reader.number();
      return;
    case opcode.callIndirect:
      reader.number();
      reader.number();
      return;
    case opcode.selectTyped:
      for (let left = reader.u32(); left > 0; left--) reader.byte();
      return;
    case opcode.memorySize: case opcode.memoryGrow:
      reader.byte();
      return;
    case opcode.f32Const:
      reader.skip(4);
      return;
    case opcode.f64Const:
      reader.skip(8);
      return;
    case opcode.extended: {
      // Saturating conversions only: one memory.fill or memory.copy does as much work as its operand says.
      const sub = reader.u32();
      if (sub <= 7) return;
      throw new WasmFormatError(`The instruction 0xfc ${String(sub)} cannot be bounded`, reader.position);
    }
    default:
      if (code >= opcode.localGet && code <= opcode.globalSet) reader.number();
      else if (code >= opcode.firstLoad && code <= opcode.lastStore) {
        reader.number();
        reader.number();
      } else if (code < opcode.firstNumeric || code > opcode.lastNumeric)
        throw new WasmFormatError(`The instruction 0x${code.toString(16)} is not known`, reader.position);
  }
} // prettier-ignore

/** A function as short as this, without loops and calls, is paid for by whoever calls it. */
const leafInstructions_max = 60;

/**
 * How many instructions a leaf has; undefined for every other function. Half of all calls in a policy are to a few
 * accessors of a few instructions each, and counting in them costs as much as they do.
 */
function leafSize(reader: Reader): number | undefined {
  skipLocals(reader);
  for (let count = 0; count <= leafInstructions_max; count++) {
    if (reader.done) return count;
    const code = reader.byte();
    if (code === opcode.loop || code === opcode.call || code === opcode.callIndirect) return undefined;
    skipImmediates(code, reader);
  }
  return undefined;
}

function skipLocals(reader: Reader): void {
  for (let left = reader.u32(); left > 0; left--) {
    reader.u32();
    reader.byte();
  }
}

/**
 * Finds where a function has to be charged, in the order of the code.
 *
 * @param leaves For each function of the module, in order, how many instructions it has if it is a leaf.
 */
function findCharges(reader: Reader, importedFunctions: number, leaves: readonly (number | undefined)[]): Charge[] {
  skipLocals(reader);
  const entry: Charge = { position: reader.position, cost: 0 };
  const charges = [entry];
  /** For each open block the charge that its instructions count for: its own where it is a loop, else its parent's. */
  const open: Charge[] = [entry];
  while (!reader.done) {
    const start = reader.position;
    const code = reader.byte();
    const innermost = open[open.length - 1];
    if (innermost === undefined) throw new WasmFormatError('A function goes on after its end', start);
    innermost.cost++;
    if (code === opcode.call) {
      const callee = reader.u32();
      if (callee < importedFunctions) charges.push({ position: start, cost: hostCallFuel });
      else innermost.cost += leaves[callee - importedFunctions] ?? 0;
      continue;
    }
    skipImmediates(code, reader);
    if (code === opcode.loop) {
      const head: Charge = { position: reader.position, cost: 0 };
      charges.push(head);
      open.push(head);
    } else if (code === opcode.block || code === opcode.if) open.push(innermost);
    else if (code === opcode.end) open.pop();
  }
  if (open.length > 0) throw new WasmFormatError('A function has no end', reader.position);
  return charges;
}

/** fuel -= cost; if (fuel < 0) unreachable */
function chargeCode(global: number[], cost: number): number[] {
  return [
    0x23, ...global, 0x42, ...signed(BigInt(cost)), 0x7d, 0x24, ...global,
    0x23, ...global, 0x42, 0x00, 0x53, 0x04, 0x40, 0x00, 0x0b,
  ]; // prettier-ignore
}

/** Collects bytes in one buffer that doubles when it is full. */
class Writer {
  #bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  constructor(expected_bytes: number) {
    this.#bytes = new Uint8Array(expected_bytes);
  }

  add(piece: Uint8Array | readonly number[]): void {
    const needed = this.length + piece.length;
    if (needed > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, this.length));
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.length);
    this.length = needed;
  }

  addSection(id: number, content: Uint8Array): void {
    this.add([id, ...unsigned(content.length)]);
    this.add(content);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.length);
  }
}

function meterCode(bytes: Uint8Array, section: Section, importedFunctions: number, global: number[]): Uint8Array {
  const reader = new Reader(bytes, section.start, section.end);
  const bodies: { start: number; end: number }[] = [];
  for (let left = reader.u32(); left > 0; left--) {
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    bodies.push({ start, end: reader.position });
  }
  const leaves = bodies.map(({ start, end }) => leafSize(new Reader(bytes, start, end)));
  const content = new Writer((section.end - section.start) * 2);
  content.add(unsigned(bodies.length));
  for (const [index, { start, end }] of bodies.entries()) {
    const charges =
      leaves[index] === undefined ? findCharges(new Reader(bytes, start, end), importedFunctions, leaves) : [];
    const codes = charges.map((charge) => chargeCode(global, charge.cost));
    content.add(unsigned(codes.reduce((sum, code) => sum + code.length, end - start)));
    let copied = start;
    for (const [at, charge] of charges.entries()) {
      content.add(bytes.subarray(copied, charge.position));
      content.add(codes[at]!);
      copied = charge.position;
    }
    content.add(bytes.subarray(copied, end));
  }
  return content.finish();
}

/** A vector section with one more element at its end. */
function appendElement(
  bytes: Uint8Array,
  section: Section | undefined,
  element: number[],
): { content: Uint8Array; count: number } {
  if (section === undefined) return { content: Uint8Array.from([1, ...element]), count: 0 };
  const content = new Writer(section.end - section.start + element.length + 5);
  const reader = new Reader(bytes, section.start, section.end);
  const count = reader.u32();
  content.add(unsigned(count + 1));
  content.add(bytes.subarray(reader.position, section.end));
  content.add(element);
  return { content: content.finish(), count };
}

/**
 * The same module, metered. Custom sections (names, debugging) are left out.
 *
 * @throws {WasmFormatError} where the bytes are no module, or one that holds an instruction that cannot be bounded.
 */
export function meter(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const found = readSections(bytes);
  const sectionOf = (id: number) => found.find((section) => section.id === id);
  const importSection = sectionOf(sections.import);
  const imports =
    importSection === undefined
      ? { functions: 0, globals: 0 }
      : countImports(new Reader(bytes, importSection.start, importSection.end));

  const globals = appendElement(bytes, sectionOf(sections.global), [0x7e, 0x01, 0x42, ...signed(startFuel), 0x0b]);
  const global = unsigned(imports.globals + globals.count);
  const name = [...Buffer.from(fuelExport)];
  const exports = appendElement(bytes, sectionOf(sections.export), [
    ...unsigned(name.length),
    ...name,
    0x03,
    ...global,
  ]);

  const module = new Writer(bytes.length * 2);
  module.add(bytes.subarray(0, 8));
  const rewritten = new Map([
    [sections.global, globals.content],
    [sections.export, exports.content],
  ]);
  for (const section of found) {
    if (section.id === 0) continue;
    // A section that the module lacks is put where the order of sections wants it.
    for (const [id, content] of rewritten) {
      if (id > section.id) break;
      module.addSection(id, content);
      rewritten.delete(id);
    }
    if (section.id === sections.global || section.id === sections.export) continue;
    if (section.id === sections.code)
      module.addSection(section.id, meterCode(bytes, section, imports.functions, global));
    else module.addSection(section.id, bytes.subarray(section.start, section.end));
  }
  for (const [id, content] of rewritten) module.addSection(id, content);
  return module.finish();
}
