import { closeSync, openSync, readSync } from 'node:fs';
import { expectedHash, genesis, unseal, type SealedLine } from './chain.js';
import type { Evidence } from './evidence.js';
import { at as placeOf, type Finding, type Findings, type Place } from './findings.js';

/** A record, as far as the chain is concerned. */
export interface Link extends Place {
  readonly sequence: number;
  readonly hash: string;
  readonly offset: number;
  readonly bytes: number;
}

/** So far back is looked for the record that another goes on from: as many as may have been waiting when a write failed. */
const window_max = 262_144;

interface Gap {
  readonly from: number;
  readonly to: number;
  /** The hash of the last record that is missing. */
  readonly expected: string;
  readonly place: Place;
  moved: boolean;
  readonly before: Link;
}

/** Follows the chain of one writer through one log. */
export class Witness {
  readonly writer: string;
  readonly #evidence: Evidence;
  readonly #found: Findings;
  first: (Link & { previous: string }) | undefined;
  last: Link | undefined;
  records = 0;
  /** Lines that do not belong where they stand, by their hashes. */
  readonly strays: (Link & { previous: string })[] = [];
  readonly #gaps: Gap[] = [];
  readonly #trail: Link[] = [];
  /** What a failed write left, which has to be written again, or refused: hashes of contents by number. */
  readonly #abandoned = new Map<number, { content: string; refused: boolean; place: Place }>();
  /** Whether the record of the furthest signed head was met, and was the one that is signed. */
  signed: 'not met' | 'equal' | 'different' = 'not met';
  /** When the last record that a signature covers (else the first) was written, and the last of all. */
  #signed_at = '';
  #last_at = '';

  constructor(writer: string, evidence: Evidence, found: Findings) {
    this.writer = writer;
    this.#evidence = evidence;
    this.#found = found;
  }

  look(line: SealedLine, link: Link, at: string): void {
    const { previous } = line;
    this.records += 1;
    if (expectedHash(line) !== line.hash) this.#find('edited', link, 'the content is not what its hash says');
    if (this.last === undefined) {
      this.#signed_at = at;
      this.first = { ...link, previous };
      this.#accept(link, line, at);
    } else if (previous === this.last.hash && link.sequence > this.last.sequence) {
      this.#accept(link, line, at);
    } else if (!this.#isRetry(line, link, at)) {
      this.#outOfPlace(line, link, at);
    }
  }

  /** How long after the last signature records were still written. */
  get unsigned_ms(): number {
    return Date.parse(this.#last_at) - Date.parse(this.#signed_at);
  }

  #accept(link: Link, line: SealedLine, at: string): void {
    this.last = link;
    this.#last_at = at;
    this.#trail.push(link);
    if (this.#trail.length > 2 * window_max) this.#trail.splice(0, window_max);
    const head = this.#evidence.heads.get(this.writer);
    if (head !== undefined && link.sequence <= head.sequence) {
      this.#signed_at = at;
      if (link.sequence === head.sequence) this.signed = link.hash === head.hash ? 'equal' : 'different';
    }
    if (this.#abandoned.size > 0) this.#writtenAgain(line, link);
  }

  /** After a failed write the chain goes on from the last record that was known to be there. */
  #isRetry(line: SealedLine, link: Link, at: string): boolean {
    const refused = this.#evidence.failures.get(`${this.writer} ${line.previous}`);
    if (refused === undefined) return false;
    const fork = this.#trail.findLastIndex(({ hash }) => hash === line.previous);
    if (fork === -1 && line.previous !== genesis) return false;
    const left = this.#trail.splice(fork + 1);
    for (const other of left) {
      const content = contentOf(other);
      const isRefused = refused.some(([from, to]) => other.sequence >= from && other.sequence <= to);
      this.#abandoned.set(other.sequence, { content, refused: isRefused, place: other });
    }
    this.#accept(link, line, at);
    return true;
  }

  #writtenAgain(line: SealedLine, link: Link): void {
    const other = this.#abandoned.get(link.sequence);
    if (other === undefined) return;
    this.#abandoned.delete(link.sequence);
    if (other.content === expectedHash(line, genesis)) return;
    this.#find(
      'replaced',
      { ...link, ...other.place },
      `it was written again in ${placeOf(link)}, and is another there`,
    );
  }

  #outOfPlace(line: SealedLine, link: Link, at: string): void {
    const last = this.last!;
    if (this.#trail.some(({ hash }) => hash === line.hash)) {
      const original = this.#trail.find(({ hash }) => hash === line.hash)!;
      this.#find('duplicated', link, `it stands in ${placeOf(original)} already`);
      return;
    }
    const gap = this.#gaps.find(({ from, to }) => link.sequence >= from && link.sequence <= to);
    if (gap !== undefined) {
      gap.moved = true;
      this.#find('reordered', link, `it belongs between ${placeOf(gap.before)} and ${placeOf(gap.place)}`);
      return;
    }
    if (link.sequence <= last.sequence) {
      this.strays.push({ ...link, previous: line.previous });
      return;
    }
    const stray = this.strays.findIndex(({ hash }) => hash === line.previous);
    if (stray !== -1) {
      // The chain goes on from what looked like a stray.
      this.strays.splice(stray, 1);
      this.#find('replaced', last, `${placeOf(link)} was chained to another record of this number`);
    } else if (link.sequence === last.sequence + 1) {
      this.#find('replaced', last, `the record after it, in ${placeOf(link)}, was chained to another one`);
    } else {
      this.#gaps.push({
        from: last.sequence + 1,
        to: link.sequence - 1,
        expected: line.previous,
        place: { file: link.file, line: link.line },
        moved: false,
        before: last,
      });
    }
    this.#accept(link, line, at);
  }

  /** What is missing, unless it turned up elsewhere. @param others Strays of this writer in other logs. */
  finish(others: readonly Link[]): void {
    for (const { from, to, place, moved } of this.#gaps) {
      const elsewhere = others.some(({ sequence }) => sequence >= from && sequence <= to);
      if (moved || (elsewhere && from === to)) continue;
      const which = from === to ? `record ${from} is` : `records ${from} to ${to} are`;
      this.#found.find({
        kind: 'missing',
        ...place,
        writer: this.writer,
        sequence: from,
        message: `${which} missing before this line`,
      });
    }
    for (const stray of this.strays) this.#find('inserted', stray, 'no record of the chain goes on from it');
    for (const [sequence, { refused, place }] of this.#abandoned) {
      if (refused) continue;
      this.#find(
        'inserted',
        { ...place, sequence },
        'it stands where a write failed, but was neither refused nor written again',
      );
    }
  }

  #find(kind: Finding['kind'], { file, line, sequence }: Place & { sequence: number }, message: string): void {
    this.#found.find({ kind, file, line, writer: this.writer, sequence, message });
  }
}

/** The hash of a record's content alone, without what stands before it. Read once more: it happens after failures only. */
function contentOf({ file, offset, bytes }: Link): string {
  const handle = openSync(file, 'r');
  try {
    const buffer = Buffer.alloc(bytes);
    readSync(handle, buffer, 0, bytes, offset);
    const line = unseal(buffer);
    return line === undefined ? '' : expectedHash(line, genesis);
  } finally {
    closeSync(handle);
  }
}
