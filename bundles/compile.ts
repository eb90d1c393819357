import { engineCapabilities, type Layer } from '#engine';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { untested, withoutCode } from './advice.js';
import type { Module } from './ast.js';
import { runCases } from './case-run.js';
import { type PolicyCase, readCases } from './cases.js';
import { capabilitiesFile } from './capabilities.js';
import { type Catalog, unknownColumns } from './catalog.js';
import { type Asked, boundless, uncovered } from './coverage.js';
import { BundleError, type Problem, refusal } from './error.js';
import { neverFires } from './firing.js';
import { inlined, notLookedThrough } from './inlined.js';
import { check, parseModules, runOver, runTests, testCoverage, type TestReport, type Tool } from './opa-run.js';
import { Reads } from './reach.js';
import { exceededMessage } from './sandbox.js';
import { slowCalls } from './slow.js';
import { isCaseFile, type Snapshot } from './snapshot.js';
import { fitsTar, readTar } from './tar.js';
import type { FilterChecks } from './obligations.js';
import { type DataChecks, dataWarnings, verifyData } from './verify-data.js';
import { describeRules, fillCodes, isTestModule, verifyModules, warnings } from './verify.js';
import { wasmBuiltins } from './wasm-builtins.js';
import { inVain, onTrial, refusesWithReason, trialFailed, wideAllows } from './wide.js';
import { type Library, libraryFolder, loadLibrary, withWorkspace, writeArchive, writeFiles } from './workspace.js';

/** A policy that compiled, kept the contract and passed its tests. */
export interface Build {
  readonly layer: Layer;
  readonly tests: TestReport;
  readonly warnings: readonly Problem[];
  /** What it was compiled from, Sallyport's own Rego and the tests with it, by path: codes that METADATA names are filled in. */
  readonly rego: ReadonlyMap<string, Uint8Array>;
  readonly duration_ms: number;
}

export interface CompilerOptions {
  /** The command, from `findOpa`; or how to get it when it is first needed. */
  readonly opa: string | (() => Promise<string>);
  /** The built-ins that policy may use. Default: those that the engine supplies. */
  readonly builtins?: readonly string[];
  /** The folder of Sallyport's own Rego. Default: the one that came with it. */
  readonly library?: string;
  /** How long a policy's tests may take, all together. */
  readonly tests_ms_max?: number;
  readonly memory_mib_max?: number;
  /** How filters are looked at, by protocol; a filter of a protocol that is not here is looked at when it is used. */
  readonly filters?: FilterChecks;
  /** How members of the data that mean something to the gateway are looked at. */
  readonly data?: DataChecks;
  /** The names of the gateway's targets, where they are known. */
  readonly targets?: readonly string[];
}

export interface AdviceOptions {
  /** What the policy stands upon. */
  readonly base?: Layer | undefined;
  /** The columns that targets have. */
  readonly catalogs?: readonly Catalog[];
}

/** Changes whenever an equal source no longer gives an equal layer, or none at all. */
const format = 3;

/** Compiles snapshots. Files that did not change since an earlier build are not parsed again. */
export class Compiler {
  /** Identifies what else goes into a layer: our Rego, the schemas and the built-ins. Hexadecimal. */
  readonly recipe: string;
  readonly #library: Library;
  readonly #options: CompilerOptions & { builtins: readonly string[] };
  readonly #modules = new Map<string, Module>();
  readonly #reads = new Reads();
  #found: Promise<string> | undefined;

  private constructor(library: Library, options: CompilerOptions & { builtins: readonly string[] }) {
    this.#library = library;
    this.#options = options;
    this.recipe = createHash('sha256')
      .update(JSON.stringify([format, library.digest, [...options.builtins].sort()]))
      .digest('hex');
  }

  static async create(options: CompilerOptions): Promise<Compiler> {
    return new Compiler(await loadLibrary(options.library), {
      ...options,
      builtins: options.builtins ?? engineCapabilities,
    });
  }

  /** All of it: check, contract, tests and build, side by side where they do not need each other. Throws BundleError. */
  build(snapshot: Snapshot): Promise<Build> {
    return this.#work(snapshot, true);
  }

  /** The same without tests: `sallyport check`. */
  check(snapshot: Snapshot): Promise<Build> {
    return this.#work(snapshot, false);
  }

  /** Tests alone. Gives what failed instead of throwing it; throws where they cannot run. */
  test(snapshot: Snapshot): Promise<TestReport> {
    return withWorkspace(async (folder) => {
      const cases = readCases(snapshot.files);
      const tool = await this.#prepare(folder, snapshot);
      const [report, failed] = await Promise.all([
        runTests(tool),
        cases.length === 0 ? [] : this.#compile(tool, folder, snapshot).then((done) => this.#judge(done, tool, cases)),
      ]);
      return withCases(report, cases, failed);
    });
  }

  /** What a reviewer would ask about a policy that was checked, by its tests' coverage and its text. Changes nothing. */
  advise(snapshot: Snapshot, layer: Layer, { base, catalogs = [] }: AdviceOptions = {}): Promise<Problem[]> {
    return withWorkspace(async (folder) => {
      const tool = await this.#prepare(folder, snapshot);
      // Of an archive OPA says twice of each file what was reached, under two names.
      const whole = path.join(folder, 'whole');
      await writeFiles(whole, [...snapshot.files, ...this.#libraryFiles()]);
      const [coverage, modules, trial] = await Promise.all([
        testCoverage({ ...tool, folder: whole, bundle: '.' }),
        parseModules(tool, snapshot, this.#modules),
        onTrial(layer, base).catch(trialFailed),
      ]);
      const beside = [...this.#libraryFiles(), ...dataFiles(snapshot)];
      const answers = await inlined(tool, modules, snapshot.files, beside, layer.data);
      const fails = 'message' in trial;
      const refuses = (asked: Asked) => !fails && refusesWithReason(trial, layer, asked);
      const { targets } = this.#options;
      const ground = { schemas: this.#library.schemas, answers, refuses, ...(targets && { targets }) };
      const byTrial = fails ? [trial] : wideAllows(trial, layer);
      const isNew = ({ file, line }: Problem) => !byTrial.some((one) => one.file === file && one.line === line);
      const found = [
        ...(coverage === undefined ? [] : untested(layer.manifest.rules, coverage)),
        ...withoutCode(modules),
        ...slowCalls(modules),
        ...notLookedThrough(modules, answers),
        ...neverFires(modules, this.#library.schemas, answers, layer.data),
        ...uncovered(modules, ground),
        ...boundless(modules, ground).filter(isNew),
        ...unknownColumns(snapshot.files, layer.data, modules, catalogs),
        ...byTrial,
        ...(base === undefined ? [] : inVain(layer, base)),
      ];
      return found.sort(byPlace);
    });
  }

  #work(snapshot: Snapshot, withTests: boolean): Promise<Build> {
    const started = performance.now();
    return withWorkspace(async (folder) => {
      const cases = readCases(snapshot.files);
      const tool = await this.#prepare(folder, snapshot);
      const checking = check(tool);
      const compiling = this.#compile(tool, folder, snapshot);
      const { schemas: _, ...unschooled } = tool;
      // What the schemas find, the check beside it finds; reading them again is a quarter of the time of most tests.
      const testing = withTests ? runTests(unschooled) : Promise.resolve(undefined);
      const [checked, tested, compiled] = await Promise.allSettled([checking, testing, compiling]);

      // What does not compile at all is told once, by the step that tells it best.
      if (checked.status === 'rejected') throw checked.reason;
      if (checked.value.length > 0) throw new BundleError([...checked.value, ...contractProblems(compiled)]);
      if (compiled.status === 'rejected') {
        const failed = tested.status === 'fulfilled' ? (tested.value?.problems ?? []) : [];
        throw compiled.reason instanceof BundleError
          ? new BundleError([...compiled.reason.problems, ...failed])
          : compiled.reason;
      }
      if (tested.status === 'rejected') throw tested.reason;
      const failed = withTests && cases.length > 0 ? await this.#judge(compiled.value, tool, cases) : [];
      const tests = tested.value && withCases(tested.value, cases, failed);
      if (tests !== undefined && tests.problems.length > 0) throw new BundleError(tests.problems);
      const { layer, warnings, rego } = compiled.value;
      return {
        ...{ layer, warnings, rego },
        tests: tests ?? { passed: 0, failed: 0, skipped: 0, problems: [], ran: false },
        duration_ms: performance.now() - started,
      };
    });
  }

  /** Lays out what the commands work on: an archive of all of it, with schemas and capabilities beside it. */
  async #prepare(folder: string, snapshot: Snapshot): Promise<Tool> {
    demandPolicyFolder(snapshot);
    for (const file of snapshot.files.keys()) {
      if (file.startsWith(`${libraryFolder}/`))
        throw refusal('reserved_folder', `a folder must not be called ${libraryFolder}`, { file });
      if (!fitsTar(file))
        throw refusal('long_name', 'has a longer name than a bundle can hold', { file, help: 'Names have up to 100 bytes, and the folders before them up to 155 together.' }); // prettier-ignore
    }
    const { builtins, tests_ms_max, memory_mib_max } = this.#options;
    const opa = await this.#opa();
    const [capabilities] = await Promise.all([
      capabilitiesFile(opa, builtins, folder),
      writeArchive(path.join(folder, 'policy-with-tests.tar.gz'), [...snapshot.files, ...this.#libraryFiles()]),
      writeFiles(path.join(folder, 'schemas'), this.#library.schemas),
    ]);
    await writeFiles(folder, [['capabilities.json', capabilities]]);
    return {
      opa,
      folder,
      bundle: 'policy-with-tests.tar.gz',
      capabilities: path.join(folder, 'capabilities.json'),
      ...(this.#library.schemas.size === 0 ? {} : { schemas: path.join(folder, 'schemas') }),
      limits: memory_mib_max === undefined ? {} : { memory_mib: memory_mib_max },
      tests_ms_max: tests_ms_max ?? 20_000,
    };
  }

  async #opa(): Promise<string> {
    const { opa } = this.#options;
    if (typeof opa === 'string') return opa;
    this.#found ??= opa().catch((error: unknown) => {
      this.#found = undefined;
      throw error;
    });
    return this.#found;
  }

  #libraryFiles(): [string, Uint8Array][] {
    return [...this.#library.rego].map(([name, content]) => [`${libraryFolder}/${name}`, content]);
  }

  /** The contract's checks, and the layer. */
  async #compile(tool: Tool, folder: string, snapshot: Snapshot): Promise<Compiled> {
    const modules = await parseModules(tool, snapshot, this.#modules);
    const problems = await verifyModules(modules, this.#options.filters);

    const inForce = modules.filter((module) => !isTestModule(module));
    const filled = inForce.map((module) => [module.file, Buffer.from(fillCodes(textOf(snapshot, module.file), module))] as const); // prettier-ignore
    const rego = [...filled, ...this.#libraryFiles()];
    const bare = { ...tool, bundle: 'policy-alone.tar.gz' };
    await writeArchive(path.join(folder, bare.bundle), [...rego, ...dataFiles(snapshot)]);

    const packages = [...new Set(inForce.map((module) => module.package))].filter((name) => name.startsWith('policy.'));
    const names = packages.map((name) => name.slice('policy.'.length)).sort();
    const [built, reads] = await Promise.all([
      this.#wasm(bare, folder).catch((error: unknown) => error as Error),
      this.#reads.of(bare, inForce, new Map(filled), this.#libraryFiles()),
    ]);
    if (built instanceof Error) throw problems.length > 0 ? new BundleError(problems) : built;
    const { targets, data: checks } = this.#options;
    problems.push(...verifyData(built.data, snapshot.files, targets, checks));
    if (problems.length > 0) throw new BundleError(problems);

    const manifest = {
      name: 'policy',
      format: 1,
      rules: describeRules(inForce),
      reads,
      packages: names,
      builtins: await wasmBuiltins(built.wasm),
    } as const;
    return {
      bare,
      layer: { manifest, wasm: built.wasm, data: built.data },
      warnings: [...warnings(modules), ...dataWarnings(built.data, snapshot.files, targets)],
      rego: new Map([...[...snapshot.files].filter(([file]) => file.endsWith('.rego')), ...rego]),
    };
  }

  #judge({ layer, bare }: Compiled, tool: Tool, cases: readonly PolicyCase[]): Promise<Problem[]> {
    return runCases({ ...tool, bundle: bare.bundle }, layer, cases);
  }

  /** Policy is compiled, data only carried along: -O0 inlines none of it, and OPA's own loader has read it. */
  async #wasm(tool: Tool, folder: string): Promise<{ wasm: Uint8Array; data: unknown }> {
    const output = path.join(folder, 'bundle.tar.gz');
    const args = [
      'build',
      '-b',
      tool.bundle,
      '-t',
      'wasm',
      '-O',
      '0',
      '-e',
      'sallyport/decision',
      '--capabilities',
      tool.capabilities,
      '-o',
      output,
    ];
    const run = await runOver(tool, args);
    if (run.exceeded !== undefined) throw refusal('too_much', exceededMessage('opa build', run.exceeded, tool.limits));
    if (run.status !== 0) {
      const said = run.stderr.trim() || run.stdout.trim();
      throw refusal('build_failed', `without its tests the policy does not build: ${said.slice(0, 4000)}`, {
        help: 'Rules must not use what only a test file defines.',
      });
    }
    const bundle = readTar(gunzipSync(await readFile(output), { maxOutputLength: 256 * 1024 * 1024 }));
    const wasm = bundle.get('policy.wasm');
    if (wasm === undefined) throw refusal('build_failed', 'opa build gave no policy.wasm');
    const data = bundle.get('data.json');
    return {
      wasm: new Uint8Array(wasm),
      data: data === undefined ? {} : (JSON.parse(data.toString('utf8')) as unknown),
    };
  }
}

interface Compiled extends Pick<Build, 'layer' | 'warnings' | 'rego'> {
  /** Over what was compiled: without tests, codes filled in. */
  readonly bare: Tool;
}

/** As one goes through the files. */
const byPlace = (a: Problem, b: Problem): number =>
  (a.file ?? '').localeCompare(b.file ?? '') || (a.line ?? 0) - (b.line ?? 0);

/** A policy's tests are those in Rego and its cases. */
const withCases = (report: TestReport, { length }: readonly PolicyCase[], failed: readonly Problem[]): TestReport => ({
  ...report,
  passed: report.passed + length - failed.length,
  failed: report.failed + failed.length,
  problems: [...report.problems, ...failed],
});

/** What the contract's checks found in a policy that does not compile either: often it is the reason. */
function contractProblems(compiled: PromiseSettledResult<unknown>): readonly Problem[] {
  if (compiled.status === 'fulfilled' || !(compiled.reason instanceof BundleError)) return [];
  return compiled.reason.problems.filter(({ code }) => !/^(rego_|compile_error|build_failed|too_much)/.test(code));
}

const dataFiles = ({ files }: Snapshot): [string, Uint8Array][] =>
  [...files].filter(([file]) => !file.endsWith('.rego') && !isCaseFile(file));

const textOf = (snapshot: Snapshot, file: string): string =>
  Buffer.from(snapshot.files.get(file) ?? []).toString('utf8');

/** `sallyport init` lays our own Rego beside the policy, for opa and the editor: that is no part of it. */
function demandPolicyFolder({ files }: Snapshot): void {
  if (!files.has('lib/sallyport/decision.rego')) return;
  throw refusal('whole_repository', "this is a whole repository of `sallyport init`, with Sallyport's own Rego in it", {
    file: 'lib/sallyport/decision.rego',
    help: 'The policy is its folder "policy": `sallyport check policy`, and path: policy in policy.git.',
  });
}
