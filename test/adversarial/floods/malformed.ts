import { random, type Random } from '../corruptions.js';
import { framed, written, type Draft, type Way, type Ways } from './draft.js';
import type { Gate } from './gate.js';
import {
  fieldWays,
  framingWays,
  headWays,
  lineWays,
  targetWays,
  tokenWays,
  truncationWays,
  upgradeWays,
} from './ways.js';

/** A malformed request for a gate, out of a number. */
export interface Malformed {
  readonly number: number;
  readonly what: string;
  readonly bytes: Buffer;
  /** Nothing is said behind it: the reader of HTTP has lost its place, or waits for more. */
  readonly ends: boolean;
  /** It may be answered as it is: its client does not leave at once. */
  readonly whole: boolean;
}

interface Group {
  readonly ways: readonly (readonly [string, Way])[];
  readonly ends: boolean;
  readonly whole: boolean;
  /** What it is done to: a request that carries something, or one without a body. */
  readonly to: 'carrying' | 'bare';
  /** How often one of them is taken, of a hundred. */
  readonly share: number;
}

/** Makes those of one gate. The same number gives the same bytes, as long as the token is the same. */
export function malformer(gate: Gate): (number: number) => Malformed {
  const groups: Group[] = [
    group(gate.own, 50, false),
    // What is refused before its body was read is the last of its connection: it has none, so that more goes through each.
    group(targetWays, 14, false, 'bare'),
    group(fieldWays, 9, false, 'bare'),
    group(tokenWays, 5, false, 'bare'),
    group(upgradeWays, 2, true),
    whole(group(lineWays, 4, true)),
    whole(group(headWays, 5, true)),
    group(framingWays(written(gate.well)), 8, true),
    group(truncationWays, 3, true),
  ];
  return (number) => {
    const from = random(number);
    const { ways, ends, whole, to } = chosen(groups, from);
    const [what, way] = from.pick(ways);
    const made = way(to === 'bare' ? bare(gate) : gate.carrying, from);
    const bytes = Buffer.isBuffer(made) ? made : sent(made, from);
    return { number, what, whole, ends: ends || asksOtherwise(made), bytes };
  };
}

const group = (ways: Ways, share: number, ends: boolean, to: Group['to'] = 'carrying'): Group => ({
  ...{ ways: Object.entries(ways), share, ends, whole: false, to },
});

const whole = (one: Group): Group => ({ ...one, whole: true });

const bare = ({ carrying }: Gate): Draft => ({
  ...carrying,
  ...{ method: 'GET', body: Buffer.alloc(0), fields: carrying.fields.filter(([name]) => name !== 'Content-Type') },
});

function chosen(groups: readonly Group[], from: Random): Group {
  let at = from.below(100);
  for (const one of groups) {
    if (at < one.share) return one;
    at -= one.share;
  }
  return groups[0]!;
}

/** A request for another protocol is the last of its connection, whatever is answered. */
const asksOtherwise = (made: Draft | Buffer): boolean =>
  !Buffer.isBuffer(made) && made.fields.some(([name]) => name === 'Upgrade');

/** With its length, or in chunks. */
function sent(draft: Draft, from: Random): Buffer {
  if (draft.body.length === 0 || from.below(4) > 0) return written(draft);
  const cut = from.below(draft.body.length);
  const chunks = [draft.body.subarray(0, cut), draft.body.subarray(cut)].filter(({ length }) => length > 0);
  const behind = chunks.flatMap((piece) => [
    Buffer.from(`${piece.length.toString(16)}\r\n`),
    piece,
    Buffer.from('\r\n'),
  ]);
  return framed(draft, ['Transfer-Encoding: chunked'], Buffer.concat([...behind, Buffer.from('0\r\n\r\n')]));
}
