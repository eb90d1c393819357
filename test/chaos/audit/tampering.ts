import { reseal, unseal } from '../../../gateway/audit/chain.js';
import type { FindingKind } from '../../../gateway/audit/index.js';

/** What somebody may do to a log, at a place that `pick` chooses; and what has to be found then. */
export interface Tampering {
  readonly name: string;
  readonly kinds: readonly FindingKind[];
  /** @param at The number of a line in the midst of its writer's chain, with neighbours on both sides. */
  change(lines: Buffer[], at: number): void;
}

const replaced = (line: Buffer, from: string, to: string) => Buffer.from(line.toString('utf8').replace(from, to));
const sealedAfter = (line: Buffer, before: Buffer) => reseal(line, unseal(before)!.hash).content.subarray(0, -1);
const edited = (line: Buffer) => replaced(line, '"decision_id":"d-', '"decision_id":"e-');

export const tamperings: readonly Tampering[] = [
  { name: 'a field edited', kinds: ['edited'], change: (lines, at) => (lines[at] = edited(lines[at]!)) },
  {
    name: 'a personal value edited',
    kinds: ['edited'],
    change: (lines, at) => (lines[at] = replaced(lines[at]!, '"agent:chaos"', '"agent:other"')),
  },
  {
    name: 'a record replaced, its hash made right',
    kinds: ['replaced'],
    change: (lines, at) => (lines[at] = sealedAfter(edited(lines[at]!), lines[at - 1]!)),
  },
  { name: 'a record left out', kinds: ['missing'], change: (lines, at) => lines.splice(at, 1) },
  { name: 'three records left out', kinds: ['missing'], change: (lines, at) => lines.splice(at - 1, 3) },
  { name: 'a record twice', kinds: ['duplicated'], change: (lines, at) => lines.splice(at + 1, 0, lines[at]!) },
  {
    name: 'a record made up',
    kinds: ['inserted'],
    change: (lines, at) => lines.splice(at + 1, 0, sealedAfter(edited(lines[at]!), lines[at]!)),
  },
  {
    name: 'two in another order',
    kinds: ['reordered'],
    change: (lines, at) => lines.splice(at, 2, lines[at + 1]!, lines[at]!),
  },
  { name: 'the end cut off', kinds: ['truncated'], change: (lines) => lines.splice(-3) },
  { name: 'the beginning cut off', kinds: ['beginning_missing'], change: (lines) => lines.splice(0, 3) },
  {
    name: 'all of a writer left out',
    kinds: ['writer_missing'],
    change(lines) {
      const writer = writerOf(lines[0]!);
      lines.splice(0, lines.length, ...lines.filter((line) => writerOf(line) !== writer));
    },
  },
  {
    name: 'a line of something else',
    kinds: ['malformed'],
    change: (lines, at) => lines.splice(at, 0, Buffer.from('x')),
  },
  {
    name: 'a record without its hash',
    kinds: ['unsigned'],
    change: (lines, at) => (lines[at] = Buffer.from(lines[at]!.toString('utf8').replace(/,"chain":.*$/u, '}'))),
  },
  {
    name: 'a signature forged, its hash made right',
    kinds: ['forged_signature'],
    change(lines) {
      const at = lines.length - 1;
      const forged = replaced(lines[at]!, '"signature":"', '"signature":"AA');
      lines[at] = sealedAfter(forged, lines[at - 1]!);
    },
  },
];

const writerForm = /^\{"version":1,"kind":"[a-z_]+","writer":"([^"]+)"/u;
export const writerOf = (line: Buffer) => writerForm.exec(line.toString('latin1', 0, 160))?.[1];
