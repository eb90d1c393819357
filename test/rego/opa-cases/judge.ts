import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { unsuppliedBuiltins } from '../../../bundles/unsupplied.js';
import { readTar } from '../../../bundles/tar.js';
import { engineDefaults } from '../../../engine/engine.js';
import { WasmPolicy } from '../../../engine/wasm.js';
import type { OpaCase } from './cases.js';

const run = promisify(execFile);

/**
 * What became of one case.
 *
 * - `equal`: the same answer, or an error on both sides.
 * - `refused`: the build refuses a built-in that the engine does not supply, by name.
 * - `differs`: another answer; `detail` has both.
 */
export interface Outcome {
  readonly note: string;
  readonly category: string;
  readonly kind: 'equal' | 'refused' | 'differs';
  readonly detail: string;
}

export interface Tools {
  readonly opa: string;
  /** The gateway's capabilities file: what it does not have is refused at compile. */
  readonly capabilities: string;
}

type Answer = { readonly value: unknown } | { readonly error: string };

/** Judges one case by the gateway's engine, and by OPA's own evaluator where the case itself does not say what is right. */
export async function judge(one: OpaCase, tools: Tools): Promise<Outcome> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-opa-case-'));
  const outcome = (kind: Outcome['kind'], detail = ''): Outcome => ({
    note: one.note,
    category: one.category,
    kind,
    detail,
  });
  try {
    const files = await writeCase(one, folder);
    const ours = await answerOfEngine(one, files, folder, tools);
    if ('error' in ours) {
      const missing = refusedBuiltin(one, ours.error);
      const wanted = await expected(one, files, folder, tools);
      if (missing !== undefined && !('error' in wanted && wanted.error.includes('undefined function')))
        return outcome('refused', missing);
      return 'error' in wanted ? outcome('equal') : outcome('differs', `${ours.error} | ${JSON.stringify(wanted)}`);
    }
    const stated = statedAnswer(one);
    if (stated !== undefined && same(ours.value, stated.value)) return outcome('equal');
    // The case says nothing, or something else: OPA's own evaluator decides.
    const theirs = await answerOfOpa(one, files, folder, tools);
    if (!('error' in theirs) && same(ours.value, theirs.value)) return outcome('equal');
    return outcome('differs', `${JSON.stringify(ours)} | ${JSON.stringify(theirs)}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The built-in that the compiler refuses: where it is called, and where it is replaced for a test. */
function refusedBuiltin(one: OpaCase, said: string): string | undefined {
  const called = /undefined function ([\w.]+)/.exec(said)?.[1];
  if (called !== undefined || !said.includes('with keyword target must reference existing')) return called;
  const text = [one.query, ...one.modules].join('\n');
  return unsuppliedBuiltins.find((name) => text.includes(`with ${name} as`));
}

/** The query as a rule: its bindings by name, one object for each answer. */
function entryOf(one: OpaCase): string {
  const names = [...new Set((one.wantResult ?? []).flatMap((bindings) => Object.keys(bindings)))];
  const bindings = names.map((name) => `${JSON.stringify(name)}: ${name}`).join(', ');
  const input = one.inputTerm === undefined ? '' : ` with input as ${one.inputTerm}`;
  return `package sallyport\n_results := [{${bindings}} |\n${one.query}\n]\ndecision := {"results": x} if { x := _results${input} }\n`;
}

async function writeCase(one: OpaCase, folder: string): Promise<string[]> {
  const files = one.modules.map((_, index) => `module_${String(index)}.rego`);
  for (const [index, file] of files.entries()) await writeFile(path.join(folder, file), one.modules[index]!);
  await writeFile(path.join(folder, 'entry.rego'), entryOf(one));
  return [...files, 'entry.rego'];
}

async function answerOfEngine(one: OpaCase, files: string[], folder: string, tools: Tools): Promise<Answer> {
  const bundle = path.join(folder, 'bundle.tar.gz');
  const options = ['-t', 'wasm', '-O0', '-e', 'sallyport/decision', '--capabilities', tools.capabilities, '-o', bundle];
  try {
    await run(tools.opa, ['build', ...options, ...files], { cwd: folder });
  } catch (error) {
    const said = error as { stderr?: string; stdout?: string };
    return { error: `${said.stderr ?? ''}${said.stdout ?? ''}` || String(error) };
  }
  try {
    const wasm = readTar(gunzipSync(await readFile(bundle))).get('policy.wasm')!;
    const policy = await WasmPolicy.load(one.note, wasm, one.data, engineDefaults);
    const input = one.input === undefined ? '' : JSON.stringify(one.input);
    return resultsOf((policy.evaluate(new TextEncoder().encode(input).buffer) as { result: unknown }[])[0]?.result);
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function answerOfOpa(one: OpaCase, files: string[], folder: string, tools: Tools): Promise<Answer> {
  const data = path.join(folder, 'data.json');
  await writeFile(data, JSON.stringify(one.data));
  const options = ['--format', 'json', '-d', data, ...files.flatMap((file) => ['-d', file])];
  if (one.input !== undefined) {
    await writeFile(path.join(folder, 'input.json'), JSON.stringify(one.input));
    options.push('--input', 'input.json');
  }
  let stdout: string;
  try {
    ({ stdout } = await run(tools.opa, ['eval', ...options, 'data.sallyport.decision'], {
      cwd: folder,
      maxBuffer: 1 << 26,
    }));
  } catch (error) {
    return { error: (error as { stdout?: string }).stdout ?? String(error) };
  }
  const { result } = JSON.parse(stdout) as { result?: { expressions: { value: unknown }[] }[] };
  return resultsOf(result?.[0]?.expressions[0]?.value);
}

const resultsOf = (value: unknown): Answer => ({ value: (value as { results?: unknown } | undefined)?.results ?? [] });

/** What the case says is right, for a mode in which built-ins that fail are undefined. */
function statedAnswer(one: OpaCase): { value: unknown } | undefined {
  return one.wantResult === undefined || one.strictError || one.env ? undefined : { value: one.wantResult };
}

async function expected(one: OpaCase, files: string[], folder: string, tools: Tools): Promise<Answer> {
  if (one.wantError && !one.strictError) return { error: 'the case wants an error' };
  return statedAnswer(one) ?? answerOfOpa(one, files, folder, tools);
}

/** Sets have no order in JSON, and neither have the answers to a query. */
function same(left: unknown, right: unknown): boolean {
  return isDeepStrictEqual(canonical(left), canonical(right));
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) {
    const elements = value.map(canonical).map((element) => [JSON.stringify(element), element] as const);
    return elements.sort(([one], [other]) => (one < other ? -1 : one > other ? 1 : 0)).map(([, element]) => element);
  }
  if (typeof value !== 'object' || value === null) return value === 0 ? 0 : value;
  const entries = Object.entries(value).map(([key, element]) => [key, canonical(element)] as const);
  return Object.fromEntries(entries.sort(([one], [other]) => (one < other ? -1 : 1)));
}
