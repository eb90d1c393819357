import type { Command } from 'commander';
import pc from 'picocolors';
import { exit, type ExitCode } from './exit.js';
import { printable } from './printable.js';
import { configFile, type Surroundings } from './surroundings.js';

interface DoctorOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly around?: boolean;
}

/** Looks at everything that the gateway needs, without starting it: each finding with what mends it. */
export async function doctorCommand(options: DoctorOptions, around: Surroundings): Promise<ExitCode> {
  const { examine } = await import('../doctor/index.js');
  const findings = await examine({
    file: configFile(options.config, around),
    env: around.env,
    around: options.around === true,
  });
  const failed = findings.filter(({ status }) => status === 'fail').length;
  const warned = findings.filter(({ status }) => status === 'warn').length;
  if (options.json === true) {
    around.stdout.write(`${JSON.stringify({ ok: failed === 0, failed, warned, findings })}\n`);
  } else {
    const { green, yellow, red, dim } = pc.createColors(around.stdout.isTTY === true);
    const colour = { ok: green, warn: yellow, fail: red };
    for (const { status, check, message, mend } of findings) {
      around.stdout.write(`${colour[status](status.padEnd(4))} ${check.padEnd(22)} ${printable(message)}\n`);
      if (mend !== undefined) around.stdout.write(`${' '.repeat(28)}${dim(printable(mend))}\n`);
    }
    around.stdout.write(`${findings.length} looked at, ${failed} failed, ${warned} to look at\n`);
  }
  return failed === 0 ? exit.done : exit.no;
}

export function registerDoctor(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  program
    .command('doctor')
    .description(
      'is everything wired: configuration, keys, clocks, targets, policy, state, audit; each finding with its mend',
    )
    .option('-c, --config <file>', 'the configuration (default: $SALLYPORT_CONFIG or ./sallyport.yaml)')
    .option('--json', 'the findings as one JSON object')
    .option(
      '--around',
      'where agents run: whether targets can be reached from there, around the gateway, and nothing else',
    )
    .addHelpText(
      'after',
      '\nExit code 1 where something fails; what is only to be looked at (warn) is 0.\n\nExample:\n  sallyport doctor -c /etc/sallyport.yaml --json | jq .findings',
    )
    .action(async (options: DoctorOptions) => finish(await doctorCommand(options, around)));
}
