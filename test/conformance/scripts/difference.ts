/** What one script is answered with through the gateway, and not without. */
export interface Difference {
  readonly name: string;
  /** Lines that psql shows without the gateway, those of the script among them. */
  readonly lines: number;
  /** Details, contexts and messages that the gateway leaves out: what a write says of rows, where policy masks anything. */
  readonly withheld: number;
  /** All other lines: '- ' is shown without the gateway, '+ ' through it. */
  readonly other: readonly string[];
}

/** @param direct What psql showed without the gateway, in latin1, as is `gateway`. */
export function compared(name: string, direct: string, gateway: string): Difference {
  const one = direct.split('\n');
  const two = gateway.split('\n');
  const changes = differing(one, two);
  const gone = changes.filter((line) => line.startsWith('- '));
  const come = changes.filter((line) => line.startsWith('+ '));
  const instead = come.filter((line) => /withheld/.test(line));
  // One message stands for the other, and takes its position with it.
  const left = new Set(gone.filter((line) => /^- (?:DETAIL|CONTEXT|QUERY): /.test(line) || isFurther(line, gone)));
  for (const line of instead) {
    const [place] = /\S+\.sql:\d+: /.exec(line) ?? [];
    const message = place === undefined ? undefined : gone.find((each) => each.includes(place));
    if (message !== undefined) left.add(message);
  }
  return {
    name,
    lines: one.length,
    withheld: left.size,
    other: changes.filter((line) => !left.has(line) && !instead.includes(line)),
  };
}

/** Further lines of a DETAIL or CONTEXT. */
function isFurther(line: string, gone: readonly string[]): boolean {
  if (!/^- (?:drop cascades to|PL\/pgSQL|SQL|\S.* (?:depends on|of)) /.test(line)) return false;
  const before = gone.slice(0, gone.indexOf(line));
  return before.some((each) => /^- (?:DETAIL|CONTEXT): /.test(each));
}

/**
 * Lines of which one side has more, in order: the longest common part is looked for within what is neither the same before nor
 * behind. For scripts' answers, which hardly differ: time and memory are the product of what does.
 */
function differing(one: readonly string[], two: readonly string[]): string[] {
  const changes: string[] = [];
  let at = 0;
  let to = 0;
  const reach = 400;
  while (at < one.length || to < two.length) {
    if (at < one.length && to < two.length && one[at] === two[to]) {
      at++;
      to++;
      continue;
    }
    const [skipOne, skipTwo] = meeting(one.slice(at, at + reach), two.slice(to, to + reach));
    changes.push(...one.slice(at, at + skipOne).map((line) => `- ${line}`));
    changes.push(...two.slice(to, to + skipTwo).map((line) => `+ ${line}`));
    at += skipOne;
    to += skipTwo;
  }
  return changes;
}

/** Shorter lines stand everywhere. */
const telling_chars = 12;
const all = [0, 1, 2];

/** How many lines to leave on each side until both go on alike, with a line that says something or with three, or are over. */
function meeting(one: readonly string[], two: readonly string[]): [number, number] {
  for (let sum = 1; sum < one.length + two.length; sum++) {
    for (let first = Math.max(0, sum - two.length); first <= Math.min(sum, one.length); first++) {
      const second = sum - first;
      const reach = (one[first]?.length ?? 0) > telling_chars ? 1 : 3;
      if (all.slice(0, reach).every((next) => one[first + next] === two[second + next])) return [first, second];
    }
  }
  return [one.length, two.length];
}
