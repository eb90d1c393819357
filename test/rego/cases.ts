import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { findOpa } from '../../bundles/opa.js';
import { readTar } from '../../bundles/tar.js';

/**
 * Cases of policy, as data: rego/cases/<protocol>/*.yaml. Each is judged twice, by `opa eval` and by the WebAssembly that
 * the gateway runs. All the policies of a file go into one build: a case's own modules are put into a package of the
 * case's own, and its input is sent there.
 */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Fields = { [key: string]: Json };

export interface Case {
  readonly description: string;
  /** Merged over the file's `given`: objects by key, everything else replaced, null removes. */
  readonly input?: Fields;
  /** The input breaks the schema on purpose. */
  readonly malformed?: boolean;
  /** Top-level data documents, merged over the file's. */
  readonly data?: Fields;
  /** Rego of this case alone, as a site would write it. */
  readonly policy?: string;
  readonly want: Want;
}

export interface Want {
  readonly outcome?: 'allow' | 'deny' | 'hold';
  /** Codes of the reasons, in order. */
  readonly codes?: string[];
  /** As far as they are written down here; as many as there are here. */
  readonly reasons?: Fields[];
  readonly masks?: Fields[];
  readonly filters?: Fields[];
  readonly approvals?: Fields[];
  readonly limits?: Fields;
  /** Raw documents, exactly. */
  readonly raw?: Fields;
  /** Raw documents that aren't there. */
  readonly absent?: string[];
  /** Evaluation ends without a decision. */
  readonly throws?: true;
}

export interface CaseFile {
  readonly file: string;
  readonly protocol: string;
  readonly title: string;
  /** A folder with a policy, relative to the checkout. Without one, each case has its own. */
  readonly policy?: string;
  readonly given: Fields;
  readonly data: Fields;
  readonly cases: readonly Case[];
}

/** A case, ready to be judged. */
export interface Prepared {
  readonly case: Case;
  /** As written: what has to fit the schema. */
  readonly document: Fields;
  /** As judged. */
  readonly input: Fields;
  readonly data: Fields;
  /** A document of the answer, with the case's own package called what its author called it. */
  restore(answer: unknown): unknown;
}

export const root = fileURLToPath(new URL('../../', import.meta.url));

export async function readCaseFiles(): Promise<CaseFile[]> {
  const folder = path.join(root, 'rego/cases');
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.yaml')).sort();
  return Promise.all(
    names.map(async (name) => {
      const content = parse(await readFile(path.join(folder, name), 'utf8')) as Partial<CaseFile>;
      const defaults = { file: name, protocol: path.dirname(name), title: name, given: {}, data: {}, cases: [] };
      return { ...defaults, ...content };
    }),
  );
}

function isFields(value: Json | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merge(base: Fields, over: Fields): Fields {
  const merged: Fields = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    if (value === null) delete merged[key];
    else merged[key] = isFields(below) && isFields(value) ? merge(below, value) : value;
  }
  return merged;
}

/** One file's cases, built and judged by both evaluators. */
export class CaseRun {
  readonly prepared: readonly Prepared[];
  /** The build for the gateway. */
  wasm = new Uint8Array();
  /** What `opa eval` answered, by index; no entry where it is wanted to throw. */
  answers: Readonly<Record<string, unknown>> = {};
  readonly #opa: string;
  readonly #folder: string;
  readonly #modules: string[];

  private constructor(opa: string, folder: string, modules: string[], prepared: readonly Prepared[]) {
    this.#opa = opa;
    this.#folder = folder;
    this.#modules = modules;
    this.prepared = prepared;
  }

  static async start(file: CaseFile): Promise<CaseRun> {
    const opa = await findOpa();
    const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-cases-'));
    const modules = await regoFiles(path.join(root, 'rego/sallyport'));
    let data = file.data;
    if (file.policy !== undefined) {
      modules.push(...(await regoFiles(path.join(root, file.policy))));
      data = merge(parse(await readFile(path.join(root, file.policy, 'data.yaml'), 'utf8')) as Fields, data);
    }
    const prepared = file.cases.map((one, index) => prepare(file, one, index, data));
    for (const [index, { policy }] of file.cases.entries()) {
      if (policy === undefined) continue;
      const module = path.join(folder, `case_${String(index)}.rego`);
      await writeFile(module, policy.replaceAll(`policy.${file.protocol}`, `policy.case_${String(index)}`));
      modules.push(module);
    }
    const run = new CaseRun(opa, folder, modules, prepared);
    try {
      await Promise.all([run.#build(), run.#evaluate()]);
    } catch (error) {
      await run.end();
      throw error;
    }
    return run;
  }

  async #build(): Promise<void> {
    const bundle = path.join(this.#folder, 'bundle.tar.gz');
    await execute(this.#opa, [
      'build',
      '-t',
      'wasm',
      '-O',
      '0',
      '-e',
      'sallyport/decision',
      '-o',
      bundle,
      ...this.#modules,
    ]);
    const wasm = readTar(gunzipSync(await readFile(bundle))).get('policy.wasm');
    if (wasm === undefined) throw new Error('opa build gave no policy.wasm');
    this.wasm = new Uint8Array(wasm);
  }

  async #evaluate(): Promise<void> {
    const indices = [...this.prepared.keys()].filter((index) => this.prepared[index]!.case.want.throws !== true);
    this.answers = await this.judge(indices);
  }

  /** Asks `opa eval` for the cases of these indices, in one process. */
  async judge(indices: readonly number[]): Promise<Record<string, unknown>> {
    const rules = indices.map((index) => {
      const { input, data } = this.prepared[index]!;
      const withs = Object.entries(data).map(
        ([key, value]) => ` with data[${JSON.stringify(key)}] as ${JSON.stringify(value)}`,
      );
      const judged = `data.sallyport.decision with input as ${JSON.stringify(input)}${withs.join('')}`;
      return `answers["${String(index)}"] := answer if answer := ${judged}\n`;
    });
    const query = path.join(this.#folder, `query_${indices.join('_').slice(0, 40)}.rego`);
    await writeFile(query, `package cases\n\n${rules.join('\n')}`);
    const files = [...this.#modules, query].flatMap((module) => ['--data', module]);
    const output = await execute(this.#opa, ['eval', '--format', 'raw', ...files, 'data.cases.answers']);
    return JSON.parse(output) as Record<string, unknown>;
  }

  async end(): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function prepare(file: CaseFile, one: Case, index: number, fileData: Fields): Prepared {
  const document = merge(file.given, one.input ?? {});
  const data = merge(fileData, one.data ?? {});
  const nonce = `case-${String(index)}`;
  if (file.policy !== undefined)
    return { case: one, document, input: { ...document, nonce }, data, restore: (answer) => answer };
  const own = `case_${String(index)}`;
  return {
    case: one,
    document,
    input: merge(document, { nonce, target: { protocol: own } }),
    data,
    restore: (answer) =>
      JSON.parse(JSON.stringify(answer).replaceAll(`policy.${own}`, `policy.${file.protocol}`)) as unknown,
  };
}

async function regoFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => name.endsWith('.rego') && !name.endsWith('_test.rego'))
    .sort()
    .map((name) => path.join(folder, name));
}

export function execute(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(command, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${path.basename(command)} ${args[0] ?? ''}: ${stderr}${stdout}`, { cause: error }));
    });
  });
}

/** Sets come out of the two evaluators in orders of their own. What was combined is in order already. */
export function unordered(answer: unknown): unknown {
  const { combined, all, ...own } = answer as Record<string, unknown>;
  return { ...sortedSets(own), all: sortedSets(all as Record<string, unknown>), combined };
}

function sortedSets(documents: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(documents).map(([name, document]) => [
      name,
      Array.isArray(document) ? document.map(canonical).sort() : document,
    ]),
  );
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([left], [right]) => (left < right ? -1 : 1)))
      : inner,
  );
}
