import path from 'node:path';
import { createEngine, type Input, type Layer } from '#engine';
import { openAudit } from '../../gateway/audit/index.js';
import { replayCommand, type ReplayCommandOptions } from '../../gateway/cli/replay.js';
import { SessionRecords } from '../../gateway/pipeline/records.js';
import type { Build, Snapshot } from '../../bundles/index.js';
import { compiler, scratch } from '../bundles/support.js';

/** What was recorded, and `sallyport replay` over it. */

/** An audit file of these operations as the gateway writes it, judged by this policy. */
export async function auditOf(inputs: readonly Input[], id: string, ...layers: readonly Layer[]): Promise<string> {
  const file = path.join(await scratch(), 'audit.jsonl');
  const revision = await createEngine().prepare(id, layers);
  const audit = await openAudit({ sinks: [{ file }], durability: 'disk' });
  for (const input of inputs) {
    const records = new SessionRecords(input.session.id, input.target, input.principal, input.session.client);
    const { hash } = input.operation;
    const own = input.operation[input.target.protocol];
    const entry = records.intent(input, revision.decide(input), { hash, own });
    await audit.write(entry, { durable: true });
  }
  await audit.close();
  return file;
}

const built = new Map<string, Promise<Build>>();

/** Each policy is compiled once in a file of tests: a compilation takes a second, and what it gives is always the same. */
export function check(snapshot: Snapshot): Promise<Build> {
  const known = built.get(snapshot.digest) ?? compiler().then((one) => one.check(snapshot));
  built.set(snapshot.digest, known);
  return known;
}

/** The command over one repository and one audit file. */
export async function replayedIn(
  repo: string,
  audit: string,
  range: string,
  options: Partial<ReplayCommandOptions> = {},
) {
  let [out, err] = ['', ''];
  const around = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
    env: process.env,
    fallbackFolder: repo,
  };
  const given: ReplayCommandOptions = {
    directory: repo, path: '.', audit: [audit], config: undefined, format: 'json', failOn: 'loosened', workers: 0, operations_max: undefined,
    ...options,
  }; // prettier-ignore
  const code = await replayCommand(range, given, around, { check });
  return { code, out, err };
}
