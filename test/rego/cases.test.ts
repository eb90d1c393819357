import { afterAll, describe, expect, test } from '@jest/globals';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { engineDefaults } from '../../engine/engine.js';
import { readVerdict, VerdictError } from '../../engine/evaluate.js';
import type { Input } from '../../engine/input.js';
import { WasmPolicy } from '../../engine/wasm.js';
import { CaseRun, readCaseFiles, root, unordered, type Prepared, type Want } from './cases.js';

// The same cases through `opa eval` and through the engine's own evaluator, with equal answers.

const files = await readCaseFiles();

interface Answer {
  readonly combined: { readonly outcome: string; readonly reasons: { readonly code: string }[] } & Record<
    string,
    unknown
  >;
  readonly [set: string]: unknown;
}

async function throughWasm(run: CaseRun, { input, data }: Prepared): Promise<unknown> {
  const policy = await WasmPolicy.load('cases', run.wasm, data, engineDefaults);
  return policy.evaluate(new TextEncoder().encode(JSON.stringify(input)).buffer);
}

function compare(answer: Answer, want: Want): void {
  const { combined } = answer;
  if (want.outcome !== undefined) expect(combined.outcome).toBe(want.outcome);
  if (want.codes !== undefined) expect(combined.reasons.map(({ code }) => code)).toEqual(want.codes);
  for (const key of ['reasons', 'masks', 'filters', 'approvals'] as const)
    if (want[key] !== undefined) expect(combined[key]).toMatchObject(want[key]);
  if (want.limits !== undefined) expect(combined['limits']).toEqual(want.limits);
  if (want.raw !== undefined) expect(answer).toMatchObject(want.raw);
  for (const name of want.absent ?? []) expect(answer).not.toHaveProperty(name);
}

/** What the engine makes of the answer: never more than what the policy itself combined. */
function engineOutcome(answer: unknown, { input, data }: Prepared): string {
  try {
    return readVerdict(answer, input['nonce'] as string, input as unknown as Input, data, () => undefined).outcome;
  } catch (thrown) {
    if (thrown instanceof VerdictError) return 'deny';
    throw thrown;
  }
}

test('there are cases, each with a name of its own and something to want', () => {
  const cases = files.flatMap(({ file, cases }) =>
    cases.map((one) => ({ ...one, name: `${file}: ${one.description}` })),
  );
  expect(cases.length).toBeGreaterThanOrEqual(60);
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
  for (const { want } of cases) expect(want.outcome ?? want.throws).toBeDefined();
});

describe.each(files.map((file) => [file.file, file] as const))('%s', (_name, file) => {
  const started = CaseRun.start(file);
  // Each test awaits it; a failed start is theirs to report.
  started.catch(() => undefined);
  afterAll(async () => (await started).end());

  test('its inputs fit the schema', async () => {
    const schema = JSON.parse(
      await readFile(path.join(root, `rego/schemas/${file.protocol}.json`), 'utf8'),
    ) as AnySchema;
    const validate = new Ajv2020({ formats: { 'date-time': true }, strict: false }).compile(schema);
    for (const { case: one, document } of (await started).prepared) {
      const fits = validate(document);
      expect({ case: one.description, fits, errors: fits ? null : validate.errors }).toMatchObject({
        fits: one.malformed !== true,
      });
    }
  });

  test.each(file.cases.map((one, index) => [one.description, one.want, index] as const))(
    '%s',
    async (_description, want, index) => {
      const run = await started;
      const prepared = run.prepared[index]!;
      if (want.throws === true) {
        await expect(run.judge([index])).rejects.toThrow(/eval_conflict_error/);
        await expect(throughWasm(run, prepared)).rejects.toThrow(/conflict/);
        return;
      }
      const fromOpa = run.answers[String(index)];
      const resultSet = (await throughWasm(run, prepared)) as [{ result: unknown }];
      const fromWasm = resultSet[0].result;
      expect(unordered(fromWasm)).toEqual(unordered(fromOpa));
      const answer = prepared.restore(fromWasm) as Answer;
      expect(answer['nonce']).toBe(`case-${String(index)}`);
      compare(answer, want);
      expect(engineOutcome(resultSet, prepared)).toBe(want.outcome);
    },
  );
});
