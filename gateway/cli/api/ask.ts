import { exit, type ExitCode } from '../exit.js';
import { printable, printableJson } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import { coloursFor } from '../table.js';
import type { GatewayFlags } from './address.js';
import { openApi, Refused, type ApiClient } from './client.js';
import type { Colours } from './describe.js';

/** What a command that asks the gateway has at hand. */
export interface Asking {
  readonly api: ApiClient;
  readonly colours: Colours;
  /** What people read, or with --json the value itself as one JSON object. */
  readonly tell: (value: unknown, forPeople: (now_ms: number) => string) => void;
}

/** Runs a command against the API; where the gateway says no, says so and why: exit code 1. */
export async function ask(
  flags: GatewayFlags,
  around: Surroundings,
  work: (asking: Asking) => Promise<ExitCode | void>,
): Promise<ExitCode> {
  const json = flags.json === true;
  const tell: Asking['tell'] = (value, forPeople) =>
    void around.stdout.write(json ? `${printableJson(value)}\n` : forPeople(Date.now()));
  const api = await openApi(flags, around);
  return orNo(flags, around, () => work({ api, colours: coloursFor(around.stdout, around.env), tell }));
}

/** What the gateway refuses is said, and is the answer no. */
export async function orNo(
  { json }: GatewayFlags,
  around: Surroundings,
  work: () => Promise<ExitCode | void>,
): Promise<ExitCode> {
  try {
    return (await work()) ?? exit.done;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (json === true) around.stdout.write(`${printableJson({ ok: false, code: error.code, error: error.message })}\n`);
    around.stderr.write(`sallyport: no: ${printable(error.message)} (${printable(error.code)})\n`);
    return exit.no;
  }
}
