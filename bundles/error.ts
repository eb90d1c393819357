/** One thing that is wrong with a policy: what, where, and what to do about it. */
export interface Problem {
  /** Short and stable: "test_failed", "not_a_set", "unknown_rule", … */
  readonly code: string;
  readonly message: string;
  /** Relative to the root of the policy repository. */
  readonly file?: string;
  /** From 1. */
  readonly line?: number;
  /** What to do. */
  readonly help?: string;
}

/** `file:line: message`, and beneath it what to do. */
export function describeProblem(problem: Problem): string {
  const place =
    problem.file === undefined ? '' : `${problem.file}${problem.line === undefined ? '' : `:${problem.line}`}: `;
  return `${place}${problem.message}${problem.help === undefined ? '' : `\n    ${problem.help}`}`;
}

/** A policy that cannot be read, does not compile, fails its tests or breaks the contract: it never goes into force. */
export class BundleError extends Error {
  readonly code = 'policy';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[], options: { cause?: unknown } = {}) {
    super(problems.map(describeProblem).join('\n'), options);
    this.name = 'BundleError';
    this.problems = problems;
  }
}

/** A BundleError with one problem. */
export function refusal(
  code: string,
  message: string,
  more: Omit<Problem, 'code' | 'message'> & { cause?: unknown } = {},
) {
  const { cause, ...place } = more;
  return new BundleError([{ code, message, ...place }], cause === undefined ? {} : { cause });
}

/** The message of whatever was thrown. By shape, for the reason that `codeOf` gives. */
export function messageOf(error: unknown): string {
  const message = (error as { message?: unknown } | null | undefined)?.message;
  return typeof message === 'string' && message !== '' ? message : String(error);
}

/** The code of a system error ("ENOENT"), if it is one. */
export function codeOf(error: unknown): string | undefined {
  // Not `instanceof`: an error of Node's own may come from another realm than this module.
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
