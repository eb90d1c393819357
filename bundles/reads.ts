import { knownPackages } from './verify.js';

/**
 * Which parts of the input a decision can depend on, from `opa deps --format json`. The engine keeps decisions by these
 * paths, so everything here errs to one side: what is not understood is the whole document.
 */

export const wholeDocument = '';

interface Dependencies {
  readonly base?: readonly (readonly { readonly type: string; readonly value: unknown }[])[];
}

/** The paths below `input` that the output names ("principal.roles"); the empty string for all of it. */
export function readPaths(json: string): string[] {
  let dependencies: Dependencies;
  try {
    dependencies = JSON.parse(json) as Dependencies;
  } catch {
    return [wholeDocument];
  }
  const paths = new Set<string>();
  for (const [head, ...rest] of dependencies.base ?? []) {
    if (head?.type !== 'var' || (head.value !== 'input' && head.value !== 'data')) return [wholeDocument];
    if (head.value === 'data') continue;
    const parts: string[] = [];
    for (const { type, value } of rest) {
      // A key with a dot in it could be taken for two: stay above it.
      if (type !== 'string' || typeof value !== 'string' || value.includes('.') || value === '') break;
      parts.push(value);
    }
    paths.add(parts.join('.'));
  }
  return minimal(paths);
}

/** Without paths that lie below another, and without the nonce, which policy only echoes. Sorted. */
export function minimal(paths: Iterable<string>): string[] {
  const kept = new Set([...paths].filter((path) => path !== 'nonce'));
  if (kept.has(wholeDocument)) return [wholeDocument];
  return [...kept].filter((path) => !ancestors(path).some((above) => kept.has(above))).sort();
}

function ancestors(path: string): string[] {
  const parts = path.split('.');
  return parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('.'));
}

/** What a protocol's decision is made of: its own package, the one for all, and the combination itself. */
export const protocols = knownPackages.filter((name) => name !== 'all');

/** The query whose dependencies are those of one protocol's rules. */
export const protocolQuery = (protocol: string): string => `data.policy.${protocol}; data.policy.all`;

/** The combination alone, without any site's rules: their packages are then mere data to it. */
export const combinationQuery = 'data.sallyport.decision';
