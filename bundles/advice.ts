import type { RuleDescription } from '#engine';
import type { Module } from './ast.js';
import type { Problem } from './error.js';
import { type contractSets, isTestModule } from './verify.js';

/**
 * What is allowed, and yet a reviewer would ask about: a rule that no test makes answer, a refusal without a code. Only
 * what is certain is said: advice that is wrong once is read no more.
 */

/** Of `opa test --coverage --format json`. */
export interface Coverage {
  readonly files?: Readonly<Record<string, FileCoverage>>;
}
interface FileCoverage {
  readonly covered?: readonly Range[];
  readonly not_covered?: readonly Range[];
}
interface Range {
  readonly start: { readonly row: number; readonly col: number };
}

/** Undefined for what is no report, as where a test failed. */
export function readCoverage(output: string): Coverage | undefined {
  try {
    const report = JSON.parse(output) as Coverage | null;
    return typeof report?.files === 'object' ? report : undefined;
  } catch {
    return undefined;
  }
}

/** Rules whose head was never reached: no test of the repository makes them answer. */
export function untested(rules: readonly RuleDescription[], coverage: Coverage): Problem[] {
  const files = new Map(
    Object.entries(coverage.files ?? {}).map(([file, found]) => [file.replace(/^(\.?\/)+/, ''), found]),
  );
  return rules.flatMap(({ file, line, set, code }) => {
    const missed = isMissed(files.get(file), line);
    if (!missed) return [];
    return [
      {
        code: 'rule_untested',
        message: `no test makes ${set} ${JSON.stringify(code)} answer`,
        help: 'Write a test whose input it answers, and one whose input it must not.',
        file,
        line,
      },
    ];
  });
}

/** The head is the first thing on its line; what stands behind it there may have been reached without it. */
function isMissed(found: FileCoverage | undefined, line: number): boolean {
  const first = (ranges: readonly Range[] = []) =>
    Math.min(Infinity, ...ranges.filter(({ start }) => start.row === line).map(({ start }) => start.col));
  return first(found?.not_covered) < first(found?.covered);
}

/** Of these sets a code is shown to whoever asked: with none, it is the name of the package and the set. */
const answered = new Set<string>(['allow', 'deny', 'approval'] satisfies (typeof contractSets)[number][]);

export function withoutCode(modules: readonly Module[]): Problem[] {
  return modules
    .filter((module) => !isTestModule(module) && module.package.startsWith('policy.'))
    .flatMap(({ file, rules }) =>
      rules
        .filter(({ name, kind, element, annotatedCode }) => {
          const bare = element?.literal === true && !element.hasCode && annotatedCode === undefined;
          return answered.has(name) && kind === 'set' && bare;
        })
        .map(({ name, line }) => ({
          code: 'reason_without_code',
          message: `this ${name} has no code: whoever is answered by it, and the audit, cannot tell which rule it was`,
          help: 'Add "code": "…", of letters, digits and underscores.',
          file,
          line,
        })),
    );
}
