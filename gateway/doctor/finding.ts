/** One thing that was looked at. */
export interface Finding {
  /** What was looked at: "target orders". */
  readonly check: string;
  /** warn: it works, and somebody should look at it. fail: the gateway, or a part of it, will not work. */
  readonly status: 'ok' | 'warn' | 'fail';
  /** Without secrets. */
  readonly message: string;
  /** What to do; with all that are not ok. */
  readonly mend?: string;
}

export const ok = (check: string, message: string): Finding => ({ check, status: 'ok', message });
export const warn = (check: string, message: string, mend: string): Finding => ({
  ...{ check, status: 'warn', message, mend },
});
export const fail = (check: string, message: string, mend: string): Finding => ({
  ...{ check, status: 'fail', message, mend },
});

export const messageOf = (error: unknown): string => {
  if (error instanceof AggregateError && error.errors.length > 0) return messageOf(error.errors[0]);
  return error instanceof Error ? error.message || error.name : String(error);
};
