/** What verification finds. Each kind is one thing that somebody may have done to a log. */
export type FindingKind =
  /** A record's content is not what its hash says. */
  | 'edited'
  /** A record was replaced by another with a hash of its own: the next one, or a signature, is for a different one. */
  | 'replaced'
  /** Records between two others are gone. */
  | 'missing'
  /** A record stands a second time. */
  | 'duplicated'
  /** A record that no chain has. */
  | 'inserted'
  /** Records stand in another order than they were written. */
  | 'reordered'
  /** A record of one log stands in another. */
  | 'moved'
  /** The end of a chain is gone: it is signed further than the files go. */
  | 'truncated'
  /** The first records of a writer are gone, and retention did not take them. */
  | 'beginning_missing'
  /** Nothing is left of a writer that others know of. */
  | 'writer_missing'
  /** A signature that is wrong, or by a key that is not known. */
  | 'forged_signature'
  /** A checkpoint is not chained to the one before it, or there are two of one number. */
  | 'checkpoint_replaced'
  /** No signature covers records where one should. */
  | 'unsigned'
  /** A line that is no record, and no half of one either. */
  | 'malformed';

export interface Finding {
  readonly kind: FindingKind;
  readonly message: string;
  readonly file?: string;
  /** Counts from 1. */
  readonly line?: number;
  readonly writer?: string;
  readonly sequence?: number;
}

/** What is worth knowing and nobody's fault: a line that a crash cut off, numbers that retention removed. */
export interface Note {
  readonly message: string;
  readonly file?: string;
  readonly line?: number;
}

/** More are counted, not kept. */
export const findings_max = 1_000;

export interface Place {
  readonly file: string;
  readonly line: number;
}

export const at = ({ file, line }: Place) => `${file}:${line}`;

/** Collects, up to a bound. */
export class Findings {
  readonly findings: Finding[] = [];
  readonly notes: Note[] = [];
  count = 0;

  find(finding: Finding): void {
    this.count += 1;
    if (this.findings.length < findings_max) this.findings.push(finding);
  }

  note(note: Note): void {
    if (this.notes.length < findings_max) this.notes.push(note);
  }
}
