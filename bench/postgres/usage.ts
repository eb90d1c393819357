import { readFileSync } from 'node:fs';

/** What a process has used, as the kernel counts it (proc(5)). Linux only: undefined elsewhere. */
export interface Usage {
  /** Processor time in user mode, all threads; microseconds, in steps of a clock tick. */
  readonly user_us: number;
  readonly system_us: number;
  /** Resident memory. */
  readonly resident_bytes: number;
}

/** USER_HZ, which is 100 wherever Linux runs Node. */
const tick_us = 10_000;
const page_bytes = 4_096;

export function usageOf(pid: number): Usage | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, and may hold anything: counted from behind it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (field: number) => Number(fields[field - 3]);
  return {
    user_us: number(14) * tick_us,
    system_us: number(15) * tick_us,
    resident_bytes: number(24) * page_bytes,
  };
}

export function processorTime(pid: number): { user_us: number; system_us: number } {
  return usageOf(pid) ?? { user_us: Number.NaN, system_us: Number.NaN };
}
