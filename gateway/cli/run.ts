import type { Config } from '../config/index.js';
import type { Gateway } from '../gateway.js';
import { exit, type ExitCode } from './exit.js';
import { configFile, type Surroundings } from './surroundings.js';

export interface RunOptions {
  readonly config: string | undefined;
  /** Print what the configuration comes to instead of starting. */
  readonly printOnly: boolean;
}

/** The gateway, until a signal ends it. Throws ConfigError where it cannot start as configured. */
export async function run(options: RunOptions, around: Surroundings): Promise<ExitCode> {
  const { loadConfig, printable } = await import('../config/index.js');
  const { protocols } = await import('../registry.js');
  const config = await loadConfig(configFile(options.config, around), { env: around.env, protocols });
  if (options.printOnly) {
    around.stdout.write(`${JSON.stringify(printable(config), undefined, 2)}\n`);
    return exit.done;
  }
  const { createLogger } = await import('../log.js');
  const { startGateway } = await import('../gateway.js');
  const log = createLogger();
  // Watched from here on: a signal during the start ends it as well, in order.
  const signals = watchSignals();
  // Our own mistake, in a place that no session owns: nothing can be said about the state any more, so it ends, loudly.
  const broken = (error: unknown): void => {
    log.fatal({ err: error }, 'an internal error that nobody caught: ending');
    process.exit(exit.failed);
  };
  process.on('uncaughtException', broken);
  let gateway: Gateway | undefined;
  try {
    gateway = await startGateway({ config, log });
    announce(config, gateway, around);
    log.info({ signal: await signals.first }, 'ending: no new connections, the open ones are told');
    return exit.done;
  } finally {
    await gateway?.close();
    signals.stop();
    process.off('uncaughtException', broken);
  }
}

function announce(config: Config, gateway: Gateway, around: Surroundings): void {
  for (const { protocol, address, note } of gateway.listeners) {
    around.stdout.write(`sallyport: ${protocol} on ${hostAndPort(address)}${note === undefined ? '' : `, ${note}`}\n`);
  }
  around.stdout.write(`sallyport: ready, ${config.targets.length} target${config.targets.length === 1 ? '' : 's'}\n`);
}

function hostAndPort({ host, port }: { host: string; port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The first signal is a request. The second means now: whoever sends it has waited long enough. */
function watchSignals(): { first: Promise<NodeJS.Signals>; stop(): void } {
  let tell: ((signal: NodeJS.Signals) => void) | undefined;
  const first = new Promise<NodeJS.Signals>((resolve) => {
    tell = resolve;
  });
  const listener = (signal: NodeJS.Signals): void => {
    if (tell === undefined) process.exit(exit.failed);
    tell(signal);
    tell = undefined;
  };
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return {
    first,
    stop() {
      process.off('SIGINT', listener);
      process.off('SIGTERM', listener);
    },
  };
}
