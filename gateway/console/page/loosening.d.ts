/** The types of loosening.js, for tests. */
export function loosens(kind: string): boolean;
export function named(kind: string): string;
export function subject(group: { rule: string; on?: string }): string;
export function remarks(report: {
  tally: {
    beyond: Record<string, number>;
    unlike_recorded: number;
    upon_base: number;
    erased: number;
    unmeasured: number;
    unproven: number;
  };
  meant: readonly string[];
  unseen: readonly string[];
  shortened: { groups: number; texts: number };
}): string[];
