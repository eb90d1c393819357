/** What the exit code says, the same for every command. */
export const exit = {
  done: 0,
  /** The command worked and the answer is no: a check found something, a test failed, nothing was found. */
  no: 1,
  /** Wrong use of the command line, or a configuration that cannot be used. */
  usage: 2,
  /** Something failed that should have worked. */
  failed: 3,
} as const;

export type ExitCode = (typeof exit)[keyof typeof exit];
