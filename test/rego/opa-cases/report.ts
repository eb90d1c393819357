import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { capabilitiesFile } from '../../../bundles/capabilities.js';
import { findOpa } from '../../../bundles/opa.js';
import { engineCapabilities } from '../../../engine/builtins.js';
import { fetchCases, readCases } from './cases.js';
import { judge, type Outcome } from './judge.js';

/** Builds are processes of their own: more at once would only wait for each other. */
const at_once = 3;

/** Judges all cases whose note holds `only`. */
export async function judgeAll(only = '', progress: (text: string) => void = () => undefined): Promise<Outcome[]> {
  const cases = (await readCases(await fetchCases())).filter(({ note, category }) =>
    `${category} ${note}`.includes(only),
  );
  const folder = await mkdtemp(path.join(tmpdir(), 'sallyport-opa-cases-'));
  try {
    const opa = await findOpa();
    const capabilities = path.join(folder, 'capabilities.json');
    await writeFile(capabilities, await capabilitiesFile(opa, engineCapabilities, folder));
    const outcomes: Outcome[] = [];
    let next = 0;
    const worker = async () => {
      for (let index = next++; index < cases.length; index = next++) {
        outcomes[index] = await judge(cases[index]!, { opa, capabilities });
        if (index % 200 === 199) progress(`${String(index + 1)} of ${String(cases.length)} cases`);
      }
    };
    await Promise.all(Array.from({ length: at_once }, worker));
    return outcomes;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A line for each category: how many cases, how many equal, refused at build, different. */
export function table(outcomes: readonly Outcome[]): string {
  const categories = [...new Set(outcomes.map(({ category }) => category))];
  const row = (name: string, some: readonly Outcome[]) => {
    const of = (kind: Outcome['kind']) => String(some.filter((one) => one.kind === kind).length).padStart(8);
    return `${name.padEnd(42)}${String(some.length).padStart(6)}${of('equal')}${of('refused')}${of('differs')}`;
  };
  return [
    `${'category'.padEnd(42)}${'cases'.padStart(6)}${'equal'.padStart(8)}${'refused'.padStart(8)}${'differs'.padStart(8)}`,
    ...categories.map((name) =>
      row(
        name,
        outcomes.filter(({ category }) => category === name),
      ),
    ),
    row('all', outcomes),
  ].join('\n');
}
