import path from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { createEngine, type Input, type Layer } from '#engine';
import { type Answered, type PolicyCase, unmet } from './cases.js';
import { type Problem, refusal } from './error.js';
import { runOver, type Tool } from './opa-run.js';
import { exceededMessage } from './sandbox.js';
import { writeFiles } from './workspace.js';

/**
 * Judges every case twice, by `opa eval` over the policy's text and by the engine over the WebAssembly that was made of it, as
 * the gateway would: one problem for each case that either decides otherwise than is wanted.
 *
 * @param tool Over what was compiled, without tests.
 */
export async function runCases(tool: Tool, layer: Layer, cases: readonly PolicyCase[]): Promise<Problem[]> {
  const [answers, revision] = await Promise.all([askOpa(tool, cases), createEngine().prepare('cases', [layer])]);
  const problems: Problem[] = [];
  const started_ms = performance.now();
  for (const [index, one] of cases.entries()) {
    // The gateway decides on this thread as well: after each case whatever waits has its turn.
    await setImmediate();
    if (performance.now() - started_ms > tool.tests_ms_max)
      throw refusal('tests_stopped', `the cases take longer than ${tool.tests_ms_max / 1000} s`, {
        help: 'Look for a case whose rules loop over too much.',
      });
    const answer = answers[String(index)];
    // A rule that conflicts ends the evaluation: nothing comes back, and the gateway refuses.
    const byOpa = answer === undefined ? ['opa gives no decision'] : unmet(answer, one.want);
    const byEngine = unmet(revision.decide(one.input as unknown as Input), one.want);
    if (byOpa.length === 0 && byEngine.length === 0) continue;
    const said = byEngine.length > 0 ? byEngine : byOpa.map((text) => `by opa alone: ${text}`);
    const { file, line, description } = one;
    problems.push({ code: 'test_failed', message: `${description}: ${said.join('; ')}`, file, line });
  }
  return problems;
}

async function askOpa(
  tool: Tool,
  cases: readonly PolicyCase[],
): Promise<Readonly<Record<string, Answered | undefined>>> {
  const rules = cases.map(
    ({ input }, index) =>
      `answers["${String(index)}"] := answer if answer := data.sallyport.decision.combined with input as ${JSON.stringify({ ...input, nonce: 'case' })}\n`,
  );
  // A package that no policy can have: only those below policy are a site's own.
  await writeFiles(tool.folder, [['cases/question.rego', `package sallyport_cases\n\n${rules.join('\n')}`]]);
  const question = path.join(tool.folder, 'cases', 'question.rego');
  const limits = { ...tool.limits, time_ms: tool.tests_ms_max };
  const args = ['eval', '--format', 'raw', '--capabilities', tool.capabilities, '-b', tool.bundle, '-d', question, 'data.sallyport_cases.answers']; // prettier-ignore
  const run = await runOver(tool, args, limits);
  if (run.exceeded !== undefined)
    throw refusal('tests_stopped', exceededMessage('opa eval', run.exceeded, limits), {
      help: 'Look for a case whose rules loop over too much.',
    });
  if (run.status !== 0)
    throw refusal('test_failed', `the cases could not be judged: ${(run.stderr.trim() || run.stdout.trim()).slice(0, 2000)}`); // prettier-ignore
  return JSON.parse(run.stdout) as Record<string, Answered>;
}
