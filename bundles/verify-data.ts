import { maskFunctions } from '#engine';
import { isMap, LineCounter, parseDocument } from 'yaml';
import type { Problem } from './error.js';
import { nearest } from './nearest.js';
import { isName } from './obligations.js';
import { isCaseFile } from './snapshot.js';

/** What is wrong with a member of the data, each with the path below it. */
export type DataChecks = ReadonlyMap<
  string,
  (value: unknown) => readonly { readonly path: readonly string[]; readonly message: string }[]
>;

/** The names under data that mean something, those of the caller's own checks apart. */
const contractData: readonly string[] = ['classification', 'masks'];
const unsaid: Readonly<Record<string, string>> = { classification: 'classified', masks: 'masked by its label' };

/** The data that is part of the contract: classification and masks; and the names that data must not take. */
export function verifyData(
  data: unknown,
  files: ReadonlyMap<string, Uint8Array>,
  targets: readonly string[] = [],
  checks: DataChecks = new Map(),
): Problem[] {
  if (!isRecord(data)) return [{ code: 'bad_data', message: 'the root of the data must be an object' }];
  const problems: Problem[] = [];
  for (const reserved of ['policy', 'sallyport']) {
    if (reserved in data)
      problems.push({
        code: 'reserved_data',
        message: `data must not define "${reserved}": that is where rules are`,
        ...locate(files, [reserved]),
      });
  }
  for (const key of Object.keys(data)) {
    const known = [...contractData, ...checks.keys()];
    const near = known.includes(key) ? undefined : nearest(key, known);
    if (near === undefined || Object.hasOwn(data, near)) continue;
    problems.push({
      code: 'unknown_data',
      message: `data.${key} means nothing to Sallyport: did you mean data.${near}?`,
      help: `As it stands, nothing would be ${unsaid[near] ?? 'known by it'}. Rename it; data of your own may have any other name.`,
      ...locate(files, [key]),
    });
  }
  for (const [name, check] of checks) {
    if (data[name] === undefined) continue;
    for (const { path, message } of check(data[name])) {
      const at = [name, ...path];
      problems.push({ code: 'bad_data', message: `data.${at.join('.')} ${message}`, ...locate(files, at) });
    }
  }
  const masks = data['masks'];
  if (masks !== undefined && !isRecord(masks)) {
    problems.push({
      code: 'bad_data',
      message: 'data.masks must map labels to mask functions',
      ...locate(files, ['masks']),
    });
  }
  const known = isRecord(masks) ? masks : {};
  for (const [label, mask] of Object.entries(known)) {
    if (mask !== 'none' && !(maskFunctions as readonly unknown[]).includes(mask)) {
      problems.push({
        code: 'unknown_mask',
        message: `data.masks.${label} is ${JSON.stringify(mask)}, which is no mask function`,
        help: `Known are ${maskFunctions.join(', ')} and none.`,
        ...locate(files, ['masks', label]),
      });
    }
  }
  return [...problems, ...verifyClassification(data['classification'], known, files, targets)];
}

function verifyClassification(
  classification: unknown,
  masks: Record<string, unknown>,
  files: ReadonlyMap<string, Uint8Array>,
  targets: readonly string[],
): Problem[] {
  if (classification === undefined) return [];
  const shape = (path: string[]): Problem => ({
    code: 'bad_data',
    message: `data.${path.join('.')} must be ${path.length < 3 ? 'an object: target, column, label' : 'a label or a list of labels'}`,
    ...locate(files, path),
  });
  if (!isRecord(classification)) return [shape(['classification'])];
  const problems: Problem[] = [];
  for (const [target, columns] of Object.entries(classification)) {
    const meant = misspelt(target, targets, classification);
    if (meant !== undefined) {
      problems.push({
        code: 'unknown_target',
        message: `there is no target ${target}, and nothing is classified for ${meant}: did you mean that?`,
        help: 'As it stands, no column of it would be masked by its label.',
        ...locate(files, ['classification', target]),
      });
    }
    if (!isRecord(columns)) {
      problems.push(shape(['classification', target]));
      continue;
    }
    for (const [column, given] of Object.entries(columns)) {
      if (column.split('.').length !== 3 || !column.split('.').every(isName)) {
        problems.push({
          code: 'bad_column',
          message: `${JSON.stringify(column)} of ${target} is not of the form schema.relation.column`,
          help: 'No column has that name, so that it would have no label. Write it as the input document does, like app.customers.email.',
          ...locate(files, ['classification', target, column]),
        });
      }
      const labels: unknown[] = Array.isArray(given) ? given : [given];
      if (labels.some((label) => typeof label !== 'string')) problems.push(shape(['classification', target, column]));
      for (const label of labels) {
        if (typeof label !== 'string' || Object.hasOwn(masks, label)) continue;
        problems.push({
          code: 'mask_missing',
          message: `${column} of ${target} is classified ${JSON.stringify(label)}, which has no entry in data.masks`,
          help: `Add to data.masks: ${label}: redact (or another of ${maskFunctions.join(', ')}, or none).`,
          ...locate(files, ['classification', target, column]),
        });
      }
    }
  }
  return problems;
}

/** The target that a name most likely stands for: one that is almost called so, and that has no labels of its own. */
function misspelt(
  target: string,
  targets: readonly string[],
  classification: Record<string, unknown>,
): string | undefined {
  if (targets.includes(target)) return undefined;
  return nearest(
    target,
    targets.filter((name) => !Object.hasOwn(classification, name)),
  );
}

/**
 * Targets that are classified and that this gateway does not have: worth a word, and no more, since a repository may serve
 * other gateways as well.
 */
export function dataWarnings(
  data: unknown,
  files: ReadonlyMap<string, Uint8Array>,
  targets: readonly string[] = [],
): Problem[] {
  const classification = isRecord(data) ? data['classification'] : undefined;
  if (targets.length === 0 || !isRecord(classification)) return [];
  return Object.keys(classification)
    .filter((target) => !targets.includes(target))
    .map((target) => ({
      code: 'unknown_target',
      message: `there is no target ${target}: its labels mean nothing to this gateway`,
      ...locate(files, ['classification', target]),
    }));
}

/** The file and line of a path in the data, where it can be found. JSON is read as the YAML that it is. */
export function locate(
  files: ReadonlyMap<string, Uint8Array>,
  path: readonly string[],
): { file?: string; line?: number } {
  for (const [file, content] of files) {
    if (file.endsWith('.rego') || isCaseFile(file)) continue;
    const folders = file.split('/').slice(0, -1);
    if (path.length <= folders.length && path.every((part, index) => part === folders[index])) return { file };
    if (!folders.every((folder, index) => folder === path[index])) continue;
    const lines = new LineCounter();
    const document = parseDocument(Buffer.from(content).toString('utf8'), { lineCounter: lines, logLevel: 'silent' });
    let node: unknown = document.contents;
    let offset: number | undefined;
    for (const key of path.slice(folders.length)) {
      const pair: { key: unknown; value: unknown } | undefined = isMap(node)
        ? node.items.find((item) => String(item.key) === key)
        : undefined;
      node = pair?.value;
      offset = (pair?.key as { range?: [number, number, number] } | undefined)?.range?.[0];
      if (pair === undefined) break;
    }
    if (offset !== undefined) return { file, line: lines.linePos(offset).line };
  }
  return {};
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
