import { stat } from 'node:fs/promises';
import { genesis, unseal, type SealedLine } from './chain.js';
import { gather, isAboutItself, type Evidence, type Trust } from './evidence.js';
import { byLog, currentName } from './files.js';
import { Findings, type Finding, type Note } from './findings.js';
import { parseRecord } from './read.js';
import { scan, type ScannedLine } from './scan.js';
import { Witness } from './witness.js';

/** A signature follows within ten seconds. Where a process died, the next one signs what it left. */
const unsigned_ms_max = 300_000;

export interface VerifyOptions extends Trust {
  /** Told from time to time how much is done, from 0 to 1. */
  readonly onProgress?: (done: number) => void;
}

export interface Verified {
  readonly records: number;
  /** Of each writer: how far its chain goes in these files, and how far a signature covers it. */
  readonly writers: readonly {
    readonly writer: string;
    readonly first: number;
    readonly last: number;
    readonly signed: number;
  }[];
  /** Empty: nothing was changed. At most 1 000; `count` counts all. */
  readonly findings: readonly Finding[];
  readonly count: number;
  readonly notes: readonly Note[];
}

/**
 * Looks whether records were changed, removed, added or moved. Reads the files twice: what is signed first, then each record.
 * Files that are rotated belong together; files of several writers may be given at once.
 *
 * @throws where a file cannot be read.
 */
export async function verifyAudit(files: readonly string[], options: VerifyOptions): Promise<Verified> {
  const found = new Findings();
  const logs = byLog(files);
  const ordered = logs.flat();
  const sizes = await Promise.all(ordered.map(async (file) => (await stat(file)).size));
  const total_bytes = 2 * sizes.reduce((sum, size) => sum + size, 0);
  let done_bytes = 0;
  const onBytes = (bytes: number) => {
    done_bytes += bytes;
    options.onProgress?.(total_bytes === 0 ? 1 : done_bytes / total_bytes);
  };
  const evidence = await gather(ordered, options, found, onBytes);
  const court = new Court(evidence, found);
  for (const file of ordered) await scan(file, (line) => court.look(line), onBytes);
  const writers = court.judge();
  return { records: court.records, writers, findings: found.findings, count: found.count, notes: found.notes };
}

const headForm =
  /^\{"version":1,"kind":"[a-z_]+","writer":("(?:[^"\\]|\\.)*"),"sequence":([0-9]{1,16}),"timestamp":"([0-9TZ:.+-]{20,32})"/u;
/** As far as all of it stands in a record whose writer has a name of ordinary length; and as far as it is looked for. */
const head_bytes = 160;
const head_bytes_max = 512;

function headOf(line: SealedLine): RegExpExecArray | undefined {
  const { bytes, head_end } = line;
  const near = headForm.exec(bytes.toString('latin1', 0, Math.min(head_end, head_bytes)));
  // Names with other letters than these are read as what they are.
  if (near !== null && !/[^\x20-\x7e]/u.test(near[1]!)) return near;
  return headForm.exec(bytes.toString('utf8', 0, Math.min(head_end, head_bytes_max))) ?? undefined;
}
const start = Buffer.from('{"version":1,"kind":"');
const closing = Buffer.from('"}}');

class Court {
  records = 0;
  readonly #evidence: Evidence;
  readonly #found: Findings;
  /** By writer and log. */
  readonly #witnesses = new Map<string, Map<string, Witness>>();
  readonly #closed = new Set<string>();
  #last = { json: '', writer: '' };

  constructor(evidence: Evidence, found: Findings) {
    this.#evidence = evidence;
    this.#found = found;
  }

  look(scanned: ScannedLine): void {
    const { bytes, file, number, offset, whole } = scanned;
    if (bytes.length === 0) return;
    const line = unseal(bytes);
    const head = line && headOf(line);
    if (line === undefined || head === undefined) {
      this.#noRecord(scanned);
      return;
    }
    if (!whole)
      this.#found.note({
        file,
        line: number,
        message: 'the last line has no line end: it is being written, or a crash cut it off',
      });
    this.records += 1;
    const writer = this.#writerOf(head[1]!);
    // Field by field: what is copied from another object costs a tenth of the whole.
    const sequence = Number(head[2]);
    const link = { file, line: number, offset, bytes: bytes.length, sequence, hash: line.hash };
    this.#witness(writer, file).look(line, link, head[3]!);
    if (isAboutItself(bytes)) this.#noteClosing(writer, link.sequence);
  }

  /** Mostly the one of the line before. */
  #writerOf(json: string): string {
    if (json !== this.#last.json) this.#last = { json, writer: JSON.parse(json) as string };
    return this.#last.writer;
  }

  #noRecord({ bytes, file, number, whole }: ScannedLine): void {
    const place = { file, line: number };
    const begins = bytes.subarray(0, start.length).equals(start.subarray(0, bytes.length));
    if (begins && parseRecord(bytes)?.chain === undefined) {
      if (parseRecord(bytes) !== undefined) {
        this.#found.find({ kind: 'unsigned', ...place, message: 'the record has no hash' });
        return;
      }
      if (!bytes.subarray(-closing.length).equals(closing)) {
        const message = whole
          ? 'half a line: a crash or a full disk cut it off'
          : 'the last line is not whole: it is being written, or a crash cut it off';
        this.#found.note({ ...place, message });
        return;
      }
    }
    const message = 'the line is no record as the gateway writes them';
    this.#found.find({ kind: begins ? 'edited' : 'malformed', ...place, message });
  }

  #witness(writer: string, file: string): Witness {
    let logs = this.#witnesses.get(writer);
    if (logs === undefined) this.#witnesses.set(writer, (logs = new Map<string, Witness>()));
    const log = currentName(file);
    let witness = logs.get(log);
    if (witness === undefined) logs.set(log, (witness = new Witness(writer, this.#evidence, this.#found)));
    return witness;
  }

  /** Behind a head that says it is the last stands the record that carries it, and nothing else. */
  #noteClosing(writer: string, sequence: number): void {
    const head = this.#evidence.heads.get(writer);
    if (head?.ended === true && sequence === head.sequence + 1) this.#closed.add(writer);
  }

  judge(): Verified['writers'] {
    const writers: Verified['writers'][number][] = [];
    for (const [writer, logs] of this.#witnesses) {
      // Another log has a copy of the whole chain, or strays that belong here.
      const [main, ...others] = [...logs.values()].sort((a, b) => b.records - a.records);
      const copies = others.filter((other) => this.#beginsWell(other) && other.records * 2 > main!.records);
      const strays = others.filter((other) => !copies.includes(other));
      const elsewhere = strays.flatMap(({ first, last }) => [first, last].filter((link) => link !== undefined));
      for (const stray of strays) {
        const { first } = stray;
        if (first === undefined) continue;
        const { file, line, sequence } = first;
        this.#found.find({
          kind: 'moved',
          file,
          line,
          writer,
          sequence,
          message: `the records of this writer stand in ${main!.first?.file ?? 'another log'}`,
        });
      }
      for (const witness of [main!, ...copies]) {
        this.#judge(witness);
        witness.finish(elsewhere);
      }
      const { first, last } = main!;
      const signed = Math.min(this.#evidence.heads.get(writer)?.sequence ?? 0, last?.sequence ?? 0);
      writers.push({ writer, first: first?.sequence ?? 0, last: last?.sequence ?? 0, signed });
    }
    for (const [writer, { sequence, by }] of this.#evidence.heads) {
      if (this.#witnesses.has(writer) || sequence <= (this.#evidence.cuts.get(writer)?.sequence ?? 0)) continue;
      this.#found.find({
        kind: 'writer_missing',
        writer,
        sequence,
        message: `nothing is left of writer ${writer}, which had ${sequence} records by ${by}`,
      });
    }
    return writers;
  }

  #beginsWell({ writer, first }: Witness): boolean {
    const cut = this.#evidence.cuts.get(writer);
    if (first === undefined) return false;
    // Another log may have kept more than has to be left.
    return first.previous === genesis || first.previous === cut?.hash || first.sequence <= (cut?.sequence ?? 0);
  }

  #judge(witness: Witness): void {
    const { writer, first, last, signed } = witness;
    if (first === undefined || last === undefined) return;
    if (!this.#beginsWell(witness)) {
      const { file, line, sequence } = first;
      const message =
        sequence > 1 ? `the ${sequence - 1} records before it are missing` : 'it is not the first of its writer';
      this.#found.find({ kind: 'beginning_missing', file, line, writer, sequence, message });
    }
    const cut = this.#evidence.cuts.get(writer);
    if (cut !== undefined && first.sequence > 1)
      this.#found.note({
        file: first.file,
        line: first.line,
        message: `what writer ${writer} wrote is proven from record ${first.sequence} on: a signature says that the gateway removed what was before`,
      });
    const head = this.#evidence.heads.get(writer);
    const end = { file: last.file, line: last.line, writer, sequence: last.sequence };
    if (head === undefined) {
      this.#found.find({ kind: 'unsigned', ...end, message: 'no signature covers any record of this writer' });
      return;
    }
    if (head.sequence > last.sequence) {
      this.#found.find({
        kind: 'truncated',
        ...end,
        message: `the ${head.sequence - last.sequence} records after it are missing: ${head.by} has ${head.sequence}`,
      });
    } else if (signed === 'different') {
      this.#found.find({
        kind: 'replaced',
        ...end,
        sequence: head.sequence,
        message: `record ${head.sequence} is not the one that was signed by ${head.by}`,
      });
    } else if (signed === 'not met' && head.sequence >= first.sequence) {
      this.#found.find({
        kind: 'missing',
        ...end,
        sequence: head.sequence,
        message: `record ${head.sequence}, which was signed by ${head.by}, is missing`,
      });
    }
    const allowed = head.sequence + (this.#closed.has(writer) ? 1 : 0);
    if (head.ended === true && last.sequence > allowed) {
      this.#found.find({ kind: 'inserted', ...end, message: `the writer had closed its log at ${head.sequence}` });
    } else if (witness.unsigned_ms > unsigned_ms_max) {
      this.#found.find({
        kind: 'unsigned',
        ...end,
        message: `no signature covers the records from ${head.sequence + 1} on`,
      });
    }
  }
}
