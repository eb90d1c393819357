import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The folder that holds Sallyport's own package.json, and with it `rego/`. Looked for upwards from here, because this
 * file runs both as it stands (tests) and compiled beneath `dist/`.
 */
export const packageRoot = findPackageRoot(path.dirname(fileURLToPath(import.meta.url)));

function findPackageRoot(from: string): string {
  for (let folder = from; ; folder = path.dirname(folder)) {
    if (nameIn(folder) === 'sallyport') return folder;
    if (folder === path.dirname(folder)) throw new Error(`no package.json of sallyport above ${from}`);
  }
}

function nameIn(folder: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as { name?: string }).name;
  } catch {
    return undefined;
  }
}
