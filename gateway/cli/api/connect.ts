import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { ConfigError } from '../../errors.js';
import { exit, type ExitCode } from '../exit.js';
import type { Surroundings } from '../surroundings.js';
import { withGateway } from './address.js';
import { ask } from './ask.js';
import { formats, pgService, shell, sshConfig, type Format } from './formats.js';
import { placeOf, settingFor, type Setting, type SettingFlags } from './setting.js';

const connectExamples = `
A ticket for the target is had first, and handed over where others cannot read it: nothing secret stands on a command line.

Examples:
  sallyport connect orders                     psql, for a Postgres target
  sallyport connect orders -- -c 'select 1'    what stands behind -- is for the client
  sallyport connect build-host -- uptime       ssh, for an SSH target
  sallyport connect cluster -- get pods        kubectl, for a Kubernetes target`;

const envExamples = `
Examples:
  eval "$(sallyport env orders)"; psql                             also pg_dump, and any program over libpq
  sallyport env orders --format pg_service >> ~/.pg_service.conf   without the password
  sallyport env build-host --format ssh_config >> ~/.ssh/config    ssh signs in with a certificate (sallyport ssh-cert)`;

/** Adds connect and env to the command line. */
export function registerConnect(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  withGateway(program.command('connect').description('start psql, ssh or kubectl at a target, with everything set'))
    .argument('<target>', 'its name')
    .argument('[words...]', 'for the client, behind --')
    .option('--purpose <text>', 'what the work is for, where your token does not say')
    .addHelpText('after', connectExamples)
    .action(async (target: string, words: string[], flags: SettingFlags) =>
      finish(
        await ask(flags, around, async ({ api }) => {
          // Mode 700, as mkdtemp makes them.
          const folder = await mkdtemp(join(tmpdir(), 'sallyport-connect-'));
          try {
            const setting = await settingFor(target, flags, around, api, folder);
            return await runClient({ ...setting, words: [...setting.words, ...words] }, around);
          } finally {
            await rm(folder, { recursive: true, force: true });
          }
        }),
      ),
    );
  withGateway(program.command('env').description('what clients read from their environment, or from a file of theirs'))
    .argument('<target>', 'its name')
    .option('--purpose <text>', 'what the work is for, where your token does not say')
    .addOption(new Option('--format <format>', 'for what reads it').choices([...formats]).default('shell'))
    .addHelpText('after', envExamples)
    .action(async (target: string, flags: SettingFlags & { format: Format }) =>
      finish(
        await ask(flags, around, async ({ api }) => {
          const place = () => placeOf(target, flags, around, api);
          const printed = {
            shell: async () => shell(await settingFor(target, flags, around, api)),
            pg_service: async () => pgService(target, await place(), flags, around),
            ssh_config: async () => sshConfig(target, await place(), flags, around),
          };
          around.stdout.write(await printed[flags.format]());
          return exit.done;
        }),
      ),
    );
}

/** The client on this terminal, until it ends: its exit code is ours. */
async function runClient({ command, words, env, files }: Setting, around: Surroundings): Promise<ExitCode> {
  for (const { file, text, mode } of files) await writeFile(file, text, { mode, flag: 'wx' });
  const code = await new Promise<number>((settle, fail) => {
    // The client gets what is good for its target, and not the token that is good for all.
    const { SALLYPORT_TOKEN: _, ...rest } = around.env;
    const child = spawn(command, words, { stdio: 'inherit', env: { ...rest, ...env } });
    child.on('error', (error) =>
      fail(
        (error as NodeJS.ErrnoException).code === 'ENOENT'
          ? new ConfigError(`there is no ${command} on the PATH`)
          : error,
      ),
    );
    child.on('close', (given, signal) => settle(given ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
  if (code !== 0) process.exitCode = code;
  return exit.done;
}
