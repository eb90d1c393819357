import { printPath, type ConfigDocument, type KeyPath } from './document.js';
import { secretKey } from './printable.js';

/**
 * Where the secrets of a file come from, by their place in it: for whoever looks at what a configuration comes to, where the
 * secrets themselves are left out. Read from the file as it was written, so that no value is ever in it.
 */
export function secretsOf(document: ConfigDocument): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const visit = (value: unknown, path: KeyPath, secret: boolean): void => {
    const origin = originOf(value, path, secret, document);
    if (origin !== undefined) found.set(printPath(path), origin);
    else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) {
        const step = Array.isArray(value) ? Number(key) : key;
        visit(item, [...path, step], secret || secretKey.test(key));
      }
    }
  };
  visit(document.value, [], false);
  return found;
}

function originOf(value: unknown, path: KeyPath, secret: boolean, document: ConfigDocument): string | undefined {
  if (typeof value === 'string') {
    const names = [...value.replaceAll('$${', '').matchAll(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/gu)].map(([, name]) => name);
    if (names.length > 0) return `environment ${[...new Set(names)].join(', ')}`;
    return secret ? `the configuration itself, line ${document.problem(path, '').line}` : undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { file, vault, command } = value as Record<string, unknown>;
  const keys = Object.keys(value);
  if (keys.length === 1 && typeof file === 'string') return `file ${file}`;
  // At the top of the file it is the section that says where Vault is.
  if (keys.length === 1 && path.length > 1 && typeof vault === 'object' && vault !== null) {
    const { path: inside, field } = vault as Record<string, unknown>;
    return `vault ${String(inside)}, field ${String(field)}`;
  }
  // Its arguments may be secrets, too.
  if (Array.isArray(command) && secret) return `command ${String(command[0])}`;
  return undefined;
}
