import { runCommandLine } from './cli/index.js';

/** The program: `argv` as Node has it, executable and script first. Sets the process's exit code (see cli/exit.ts). */
export async function main(argv: readonly string[]): Promise<void> {
  // npm runs scripts in the package's folder and says where the person stood: paths on the command line are meant there.
  const { npm_lifecycle_event: script, INIT_CWD: stood } = process.env;
  const packageFolder = process.cwd();
  if (script === 'sallyport' && stood !== undefined) {
    try {
      process.chdir(stood);
    } catch {
      // The folder is gone or closed to us: the package's own folder will do.
    }
  }
  process.exitCode = await runCommandLine(argv.slice(2), {
    env: process.env,
    fallbackFolder: packageFolder,
    stdout: process.stdout,
    stderr: process.stderr,
  });
}
