import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Command } from 'commander';
import { packageRoot, pinnedVersion } from '../../bundles/index.js';
import { ConfigError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import { sampleOf } from './input-sample.js';
import type { Surroundings } from './surroundings.js';

/**
 * A policy repository to start from: the starter policies of all protocols with their tests, Sallyport's helpers and
 * schemas for `opa` and the editor, a hook and the workflows of two forges. All of it is copied from what is shipped, so
 * that what a new repository has is what is tested here.
 */
interface InitOptions {
  /** Renew `lib/`, `schemas/` and `input.json` alone. */
  readonly update?: boolean;
}

/** From where in the package, to where in the repository. */
const policyParts = [['rego/policy', 'policy'], ['rego/init', '']] as const; // prettier-ignore
const libraryParts = [['rego/sallyport', 'lib/sallyport'], ['rego/schemas', 'schemas']] as const; // prettier-ignore

export async function initCommand(dir: string, options: InitOptions, around: Surroundings): Promise<ExitCode> {
  const folder = path.resolve(dir);
  const present = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  if (options.update === true && !present.includes('policy'))
    throw new ConfigError(`${folder} has no folder "policy": it is not a repository that "sallyport init" made.`);
  if (options.update !== true && present.some((name) => name !== '.git'))
    throw new ConfigError(
      `${folder} is not empty. Name a new folder; --update renews lib/, schemas/ and input.json in one that is there.`,
    );
  const parts = options.update === true ? libraryParts : [...policyParts, ...libraryParts];
  const versions = { SALLYPORT_VERSION: await ownVersion(), OPA_VERSION: pinnedVersion };
  let count = 0;
  for (const [from, to] of parts) count += await copy(path.join(packageRoot, from), path.join(folder, to), versions);
  await writeInput(folder);
  count += 1;
  around.stdout.write(`${count} files in ${folder}\n`);
  if (options.update !== true) around.stdout.write(nextSteps(dir));
  return exit.done;
}

const nextSteps = (dir: string): string => `
Next:
  cd ${dir} && git init -b main && git config core.hooksPath .githooks
  sallyport test policy          run the tests
  git add -A && git commit -m "policy: the start"
  README.md says how a rule is changed, and what the gateway's configuration needs
`;

/** Never over a link: what is written stays in the folder. Gives how many files. */
async function copy(from: string, to: string, versions: Readonly<Record<string, string>>): Promise<number> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  for (const entry of files) {
    const source = path.join(entry.parentPath, entry.name);
    const target = path.join(to, path.relative(from, source));
    const text = await readFile(source, 'utf8');
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(
      target,
      text.replace(/@([A-Z]+_VERSION)@/g, (all, name: string) => versions[name] ?? all),
    );
    if (text.startsWith('#!')) await chmod(target, 0o755);
  }
  return files.length;
}

/** For editors, which complete the input by it. */
async function writeInput(folder: string): Promise<void> {
  const schema = JSON.parse(await readFile(path.join(packageRoot, 'rego/schemas/input.json'), 'utf8')) as object;
  await writeFile(path.join(folder, 'input.json'), `${JSON.stringify(sampleOf(schema), null, 2)}\n`);
}

async function ownVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string };
  return version;
}

export function registerInit(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  program
    .command('init')
    .description(
      'make a policy repository: starter policies with tests, schemas, a commit hook, CI workflows, editor set-up',
    )
    .argument('<directory>', 'a new or empty folder')
    .option('--update', "renew Sallyport's helpers and schemas in a repository that is there")
    .addHelpText('after', '\nExample:\n  sallyport init policy && sallyport test policy/policy')
    .action(async (dir: string, options: InitOptions) => finish(await initCommand(dir, options, around)));
}
