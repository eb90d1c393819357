/**
 * The built-ins that a compiled policy asks of its host, by name. The module says it itself: its export `builtins`
 * gives the address of an object, which `opa_json_dump` writes as text. Nothing of the policy is evaluated.
 *
 * @see https://www.openpolicyagent.org/docs/latest/wasm/#memory-management
 */
export async function wasmBuiltins(wasm: Uint8Array): Promise<string[]> {
  const memory = new WebAssembly.Memory({ initial: 5 });
  const never = () => {
    throw new Error('the policy called its host while it was only inspected');
  };
  const env: Record<string, WebAssembly.ImportValue> = { memory, opa_abort: never, opa_println: never };
  for (const arity of [0, 1, 2, 3, 4]) env[`opa_builtin${arity}`] = never;
  const module = await WebAssembly.compile(wasm as Uint8Array<ArrayBuffer>);
  const instance = new WebAssembly.Instance(module, { env });
  const { builtins, opa_json_dump } = instance.exports as Record<string, (address?: number) => number>;
  if (builtins === undefined || opa_json_dump === undefined)
    throw new Error('the module is not a policy that opa built');
  const bytes = new Uint8Array(memory.buffer);
  const start = opa_json_dump(builtins());
  const json = Buffer.from(bytes.buffer).toString('utf8', start, bytes.indexOf(0, start));
  return Object.keys(JSON.parse(json) as object).sort();
}
