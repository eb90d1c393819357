import {
  asCheckpoint,
  checkpointHash,
  isSignedCheckpoint,
  type Checkpoint,
  type Cut,
  type Head,
} from './checkpoint.js';
import { at, type Findings, type Place } from './findings.js';
import type { KeptElsewhere } from './elsewhere.js';
import type { Ledger } from './heads.js';
import { parseRecord } from './read.js';
import type { AuditRecord } from './record.js';
import { keyId } from './signing.js';
import { scan, type ScannedLine } from './scan.js';
import { genesis } from './chain.js';

/** What signatures say of each writer, gathered from the whole of the files before their records are looked at. */
export interface Evidence {
  /** The furthest that is signed of each writer, and who says so. */
  readonly heads: ReadonlyMap<string, Head & { readonly by: string }>;
  readonly cuts: ReadonlyMap<string, Cut>;
  /** By writer and hash of the record after which a write failed: the numbers that were refused then. */
  readonly failures: ReadonlyMap<string, readonly (readonly [number, number])[]>;
}

export interface Trust {
  /** Public keys in base64url. Empty: those that the records name are taken at their word. */
  readonly keys: readonly string[];
  readonly ledger?: Ledger | undefined;
  /** Copies of ledgers from elsewhere. They are no reason to trust a key, or to miss nothing: they can only add findings. */
  readonly elsewhere?: readonly KeptElsewhere[] | undefined;
}

interface Stated {
  readonly checkpoint: Checkpoint;
  readonly place: string;
}

const auditMark = Buffer.from('{"version":1,"kind":"audit"');
export const isAboutItself = (bytes: Buffer) => bytes.subarray(0, auditMark.length).equals(auditMark);

export async function gather(
  files: readonly string[],
  trust: Trust,
  found: Findings,
  onBytes: (bytes: number) => void,
): Promise<Evidence> {
  const gatherer = new Gatherer(trust, found);
  for (const file of files) await scan(file, (line) => gatherer.look(line), onBytes);
  return gatherer.done();
}

/** What is beyond is not taken as evidence. */
const waiting_max = 100_000;

class Gatherer {
  readonly #trust: Trust;
  readonly #found: Findings;
  readonly #keys = new Map<string, string>();
  readonly #heads = new Map<string, Head & { by: string }>();
  readonly #cuts = new Map<string, Cut>();
  readonly #failures = new Map<string, [number, number][]>();
  /** Of each number its hash, and where it stands. */
  readonly #checkpoints = new Map<number, { hash: string; previous: string; place: string }>();

  constructor(trust: Trust, found: Findings) {
    this.#trust = trust;
    this.#found = found;
    for (const key of trust.keys) this.#keys.set(keyId(key), key);
    for (const [id, key] of Object.entries(trust.ledger?.keys ?? {})) this.#keys.set(id, key);
  }

  /** Checkpoints by a key that nothing before them names. */
  readonly #waiting: { readonly record: AuditRecord; readonly value: unknown; readonly place: Place }[] = [];

  look({ bytes, file, number, whole }: ScannedLine): void {
    if (!whole || !isAboutItself(bytes)) return;
    const record = parseRecord(bytes);
    if (record === undefined) return;
    const place = { file, line: number };
    switch (record['event']) {
      case 'start':
        this.#learnKey(record['key'], place);
        // Where a process died between signing and recording, the next one has what it signed.
        if (record['last'] !== undefined) this.#checkpoint(record, record['last'], place);
        this.#checkpoint(record, record['checkpoint'], place);
        break;
      case 'checkpoint':
        this.#checkpoint(record, record['checkpoint'], place);
        break;
      case 'failed':
        this.#failed(record);
        break;
    }
  }

  /** Nobody said which keys are the right ones: those that the log names are taken at their word. */
  get #learns(): boolean {
    return this.#trust.keys.length === 0 && this.#trust.ledger === undefined;
  }

  #learnKey(value: unknown, place: Place): void {
    const key = (value as { public?: unknown } | undefined)?.public;
    if (typeof key !== 'string' || this.#keys.has(keyId(key))) return;
    if (!this.#learns) return;
    this.#keys.set(keyId(key), key);
    this.#found.note({
      ...place,
      message: `signatures are checked with the key ${keyId(key)}, which the log itself names; give the true one with --key`,
    });
  }

  #checkpoint(record: AuditRecord, value: unknown, place: Place, again = false): void {
    const of = { ...place, writer: record.writer, sequence: record.sequence };
    const checkpoint = asCheckpoint(value);
    if (checkpoint === undefined) {
      this.#found.find({ kind: 'forged_signature', ...of, message: 'a checkpoint that has not the form of one' });
      return;
    }
    const key = this.#keys.get(checkpoint.key);
    // Retention may have removed the record that names it; a later writer names it again.
    if (key === undefined && !again && this.#learns) {
      if (this.#waiting.length < waiting_max) this.#waiting.push({ record, value, place });
      return;
    }
    if (key === undefined || !isSignedCheckpoint(checkpoint, key)) {
      const why = key === undefined ? `is by the key ${checkpoint.key}, which is not known` : 'is wrong';
      this.#found.find({
        kind: 'forged_signature',
        ...of,
        message: `the signature of checkpoint ${checkpoint.number} ${why}`,
      });
      return;
    }
    this.#take({ checkpoint, place: at(place) });
  }

  #take({ checkpoint, place }: Stated): void {
    const hash = checkpointHash(checkpoint);
    const known = this.#checkpoints.get(checkpoint.number);
    if (known !== undefined) {
      if (known.hash !== hash) this.#conflict(checkpoint.number, place, known.place);
      return;
    }
    this.#checkpoints.set(checkpoint.number, { hash, previous: checkpoint.previous, place });
    for (const head of checkpoint.heads) this.#head(head, `checkpoint ${checkpoint.number} in ${place}`);
    for (const cut of checkpoint.cuts) this.#cut(cut);
  }

  /** Signed by a key that is trusted: so its checkpoint belongs to the same numbers. */
  #isOurs({ checkpoint }: Ledger): boolean {
    const key = checkpoint && this.#keys.get(checkpoint.key);
    return checkpoint !== undefined && key !== undefined && isSignedCheckpoint(checkpoint, key);
  }

  #head(head: Head, by: string): void {
    const known = this.#heads.get(head.writer);
    if (
      known === undefined ||
      head.sequence > known.sequence ||
      (head.sequence === known.sequence && head.ended === true)
    ) {
      this.#heads.set(head.writer, { ...head, by });
    }
  }

  #cut(cut: Cut): void {
    if (cut.sequence > (this.#cuts.get(cut.writer)?.sequence ?? 0)) this.#cuts.set(cut.writer, cut);
  }

  #failed(record: AuditRecord): void {
    const { after, refused } = record as { after?: unknown; refused?: unknown };
    if (typeof after !== 'string' || !Array.isArray(refused)) return;
    const ranges = refused.filter((range): range is [number, number] => Array.isArray(range) && range.length === 2);
    this.#failures.set(`${record.writer} ${after}`, ranges);
  }

  #conflict(number: number, place: string, other: string): void {
    this.#found.find({
      kind: 'checkpoint_replaced',
      message: `checkpoint ${number} in ${place} is another than in ${other}`,
    });
  }

  done(): Evidence {
    for (const { record, value, place } of this.#waiting) this.#checkpoint(record, value, place, true);
    const { ledger } = this.#trust;
    const state = 'the state directory';
    if (ledger?.checkpoint !== undefined) this.#take({ checkpoint: ledger.checkpoint, place: state });
    for (const head of Object.values(ledger?.heads ?? {})) this.#head(head, state);
    for (const cut of Object.values(ledger?.cuts ?? {})) this.#cut(cut);
    for (const { ledger: other, place } of this.#trust.elsewhere ?? []) {
      if (this.#isOurs(other)) this.#take({ checkpoint: other.checkpoint!, place });
      for (const head of Object.values(other.heads)) this.#head(head, place);
    }
    const numbers = [...this.#checkpoints.keys()].sort((a, b) => a - b);
    for (const number of numbers) {
      const { previous, place } = this.#checkpoints.get(number)!;
      const before = this.#checkpoints.get(number - 1);
      if (number === 1 ? previous !== genesis : before !== undefined && before.hash !== previous) {
        this.#found.find({
          kind: 'checkpoint_replaced',
          message: `checkpoint ${number} in ${place} was made after another checkpoint ${number - 1} than ${before === undefined ? 'the first' : `the one in ${before.place}`}`,
        });
      }
    }
    const gaps = numbers.filter((number, index) => index > 0 && number - 1 !== numbers[index - 1]).length;
    if (gaps > 0)
      this.#found.note({
        message: `${gaps} gaps in the numbers of checkpoints: they stand in files that were not looked at, or a process died before it recorded one`,
      });
    return { heads: this.#heads, cuts: this.#cuts, failures: this.#failures };
  }
}
