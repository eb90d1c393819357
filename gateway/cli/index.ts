import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { GatewayError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import type { Surroundings } from './surroundings.js';

/**
 * The command line. What a command does is loaded when it is asked for: `--help` has to be there at once.
 */

const examples = `
Examples:
  sallyport demo                              see it work, with nothing prepared
  sallyport run -c sallyport.yaml             start the gateway
  sallyport init ./policies                   a policy repository to start from
  sallyport check ./policy                    compile a policy repository, as CI does
  sallyport test ./policy                     run its tests
  sallyport replay main..HEAD                 what would a change of policy have done to last week's operations?
  sallyport explain d-4f1c09a2b7de-17         why was this refused, and what asked for it?
  sallyport ask --principal agent:x --target orders --sql "select 1"   may they, and what would have to differ?
  sallyport audit search --prompt "tidy up"   what a prompt has done
  sallyport audit verify                      is the audit whole?
  sallyport recordings search "drop table"    where did these words stand on a screen?
  sallyport doctor                            is everything wired? Each finding with its mend
  sallyport policy status                     which commit is in force
  sallyport policy shadow                     what would the revision that is tried decide otherwise?
  sallyport approvals                         what waits for you
  sallyport sessions kill --subject agent:bot end whatever it has open
  sallyport login                             sign in, for all that follows
  sallyport connect orders                    psql, ssh or kubectl at a target, with everything set
  sallyport mcp                               the gateway's own tools, for agents without drivers
  sallyport ssh-cert build                    a certificate for ssh, good for one target and an hour
  sallyport kubeconfig cluster                for kubectl, without a secret in it
  sallyport token --ticket --target orders    a short secret for clients that cannot send a token
  sallyport classify orders -o proposal.yaml  which columns hold personal data?

Exit codes: 0 done, 1 the answer is no, 2 wrong use or configuration, 3 something failed.
In a checkout, each of these is \`npm run -s sallyport -- …\`.`;

const runExamples = `
Examples:
  sallyport run                               ./sallyport.yaml, or the file that SALLYPORT_CONFIG names
  sallyport run -c /etc/sallyport.yaml        that file; paths inside it are relative to it
  sallyport run --print-config                what the file comes to, secrets left out, without starting anything

SIGTERM and SIGINT end it: no new connections, the open ones told, the audit written out. A second signal ends it at once.`;

const explainExamples = `
Every refusal carries the id of its decision, in psql on the DETAIL line.

Examples:
  sallyport explain d-4f1c09a2b7de-17
  sallyport explain --json d-4f1c09a2b7de-17 | jq .intent.reasons
  sallyport explain --audit /var/log/sallyport/audit.jsonl d-4f1c09a2b7de-17`;

interface GlobalOptions {
  readonly verbose?: boolean;
}

export async function runCommandLine(args: readonly string[], around: Surroundings): Promise<number> {
  let code: ExitCode = exit.done;
  const finish = (answer: ExitCode): void => {
    code = answer;
  };
  const program = await commandLine(around, finish);
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    await program.parseAsync([...args], { from: 'user' });
    // A command of another module may have spoken through the process instead.
    return code === exit.done ? Number(process.exitCode ?? exit.done) : code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.done : exit.usage;
    around.stderr.write(`sallyport: ${describeFailure(error, program.opts<GlobalOptions>().verbose === true)}\n`);
    return exitCodeOf(error);
  } finally {
    process.exitCode = before;
  }
}

async function commandLine(around: Surroundings, finish: (code: ExitCode) => void): Promise<Command> {
  const program = new Command('sallyport')
    .description('A policy gateway: what agents and people do to databases is decided in Rego, before it reaches them.')
    .version(packageVersion(), '-V, --version', 'say which version this is')
    .helpOption('-h, --help', 'say how it is used')
    .helpCommand('help [command]', 'say how a command is used')
    .option('--verbose', 'show where an error came from')
    .showHelpAfterError('(sallyport --help says how it is used)')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void around.stdout.write(text),
      writeErr: (text) => void around.stderr.write(text),
    })
    .addHelpText('after', examples);

  program
    .command('demo')
    .description('everything on one machine: a database with data, an identity provider, a policy repository, an agent')
    .option(
      '--once',
      'end after the last step instead of staying up; exit code 0 only if every step did what it should',
    )
    .option('--json', 'one JSON object a line')
    .action(async (options: { once?: boolean; json?: boolean }) => {
      const { demo } = await import('./demo.js');
      finish(await demo({ once: options.once === true, json: options.json === true }, around));
    });

  program
    .command('run')
    .description('start the gateway')
    .argument('[file]', 'the configuration; the same as --config')
    .addOption(
      new Option('-c, --config <file>', 'the configuration').default(
        undefined,
        '$SALLYPORT_CONFIG or ./sallyport.yaml',
      ),
    )
    .option('--print-config', 'print the configuration as it was understood, secrets left out, and end')
    .addHelpText('after', runExamples)
    .action(async (file: string | undefined, options: { config?: string; printConfig?: boolean }, command: Command) => {
      if (file !== undefined && options.config !== undefined && file !== options.config) {
        command.error(`error: two configurations are named, '${file}' and '${options.config}'`);
      }
      const { run } = await import('./run.js');
      finish(await run({ config: options.config ?? file, printOnly: options.printConfig === true }, around));
    });

  const { registerPolicyCommands } = await import('./policy-commands.js');
  registerPolicyCommands(program, around);
  const { registerPolicyOrders } = await import('./policy-orders.js');
  registerPolicyOrders(program, around);

  const { registerAsk } = await import('./ask.js');
  registerAsk(program, around, finish);

  const { registerDoctor } = await import('./doctor.js');
  registerDoctor(program, around, finish);

  const { registerInit } = await import('./init.js');
  registerInit(program, around, finish);

  const { registerReplay } = await import('./replay.js');
  registerReplay(program, around, finish);

  program
    .command('explain')
    .description('one decision from the audit: who, why, from which prompt, which rule, what came of it')
    .argument('<id>', 'the id of the decision')
    .addOption(
      new Option('-c, --config <file>', 'the configuration').default(
        undefined,
        '$SALLYPORT_CONFIG or ./sallyport.yaml',
      ),
    )
    .option('--audit <file...>', 'look into these audit files, without a configuration')
    .option('--json', 'the records as they stand')
    .addHelpText('after', explainExamples)
    .action(async (id: string, options: { config?: string; audit?: string[]; json?: boolean }) => {
      const { explain } = await import('./explain.js');
      finish(
        await explain({ id, config: options.config, audit: options.audit ?? [], json: options.json === true }, around),
      );
    });

  const { registerAudit } = await import('./audit.js');
  registerAudit(program, around, finish);

  const { registerRecordings } = await import('./recordings.js');
  registerRecordings(program, around, finish);

  const { registerApprovals } = await import('./api/approvals.js');
  registerApprovals(program, around, finish);

  const { registerSessions } = await import('./api/sessions.js');
  registerSessions(program, around, finish);

  const { registerLogin } = await import('./login/index.js');
  registerLogin(program, around, finish);
  const { registerToken } = await import('./api/token.js');
  registerToken(program, around, finish);
  const { registerSshCert } = await import('./api/ssh-cert.js');
  registerSshCert(program, around, finish);
  const { registerKubeconfig } = await import('./api/kubeconfig.js');
  registerKubeconfig(program, around, finish);
  const { registerConnect } = await import('./api/connect.js');
  registerConnect(program, around, finish);

  const { registerMcp } = await import('./mcp/index.js');
  registerMcp(program, around, finish);

  const { registerClassify } = await import('./classify.js');
  registerClassify(program, around, finish);

  inherit(program);
  return program;
}

/** Commander hands its settings only to commands that it makes afterwards itself: here every command gets them. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
}

/** One clear message. Where it came from is for `--verbose`: a stack trace tells most people nothing. */
function describeFailure(error: unknown, verbose: boolean): string {
  if (!(error instanceof Error)) return String(error);
  const message = error.message || error.name;
  if (!verbose) return error instanceof GatewayError ? message : `${message} (--verbose shows where)`;
  const detail = error instanceof GatewayError && error.detail !== undefined ? `\n${error.detail}` : '';
  const cause = error.cause === undefined ? '' : `\ncaused by: ${describeFailure(error.cause, true)}`;
  return `${message}${detail}\n${error.stack ?? ''}${cause}`;
}

function exitCodeOf(error: unknown): ExitCode {
  return error instanceof GatewayError && error.code === 'config' ? exit.usage : exit.failed;
}

function packageVersion(): string {
  // This file is two folders down in the sources and three in dist/.
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as Record<
        string,
        unknown
      >;
      if (name === 'sallyport' && typeof version === 'string') return version;
    } catch {
      // Not there: the other one is.
    }
  }
  return 'unknown';
}
