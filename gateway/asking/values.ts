import type { Layer } from '#engine';

/** Strings that a policy names, as those that a purpose, a group or a role might be compared with. */

const values_max = 1_200;
/** A name, and no sentence, pattern or path of the library. */
const name = /^[A-Za-z][A-Za-z0-9_.:@/+ -]{0,63}$/;

/** From its data, and from the constants that stand in its WebAssembly: data's first, they are most likely meant. */
export function valuesNamed({ wasm, data, manifest }: Layer): string[] {
  const found = new Set<string>();
  const take = (text: string) => {
    if (found.size < values_max && name.test(text)) found.add(text);
  };
  collect(data, take);
  const known = new Set(manifest.builtins);
  for (const text of constants(wasm)) if (!known.has(text) && !isLibrary(text)) take(text);
  return [...found];
}

function collect(value: unknown, take: (text: string) => void): void {
  if (typeof value === 'string') take(value);
  else if (Array.isArray(value)) for (const one of value) collect(one, take);
  else if (typeof value === 'object' && value !== null)
    for (const [key, inner] of Object.entries(value)) {
      take(key);
      collect(inner, take);
    }
}

/** `opa build` ends each constant with a zero byte. */
function constants(wasm: Uint8Array): string[] {
  const text = Buffer.from(wasm).toString('latin1');
  return [...new Set([...text.matchAll(/([\x20-\x7e]{2,64})\0/g)].map(([, found]) => found!))];
}

/** Of the runtime that is linked into every module, and names of files and functions. */
const isLibrary = (text: string): boolean =>
  /^(opa_|mpd_|malloc|free|mem|str|json|glob|regex|_|std|int|uint|g0|internal|node\d|core|re2)|\.(c|cc|h|rego)$|::|\(\)|^[a-z]$/.test(
    text,
  );
