import { randomFillSync } from 'node:crypto';
import { AuditError } from '../errors.js';
import { Timestamps } from '../timestamp.js';
import { Members, members, nameOf, whole } from './json.js';
import type { Entry, RecordKind } from './record.js';

/** A record's own names, which fields of an entry must not take. */
const reserved: ReadonlySet<string> = new Set([
  'version',
  'kind',
  'writer',
  'sequence',
  'timestamp',
  'labels',
  'salt',
  'personal',
]);

function fieldName(name: string): string {
  if (reserved.has(name)) throw new Error(`the field ${name} is reserved`);
  return nameOf(name);
}

/** In base64url: 132 bits. */
const salt_chars = 22;
/** Random bytes are drawn ahead for this many salts: one call for each would cost more than the rest of a record. */
const salts = 256;
const pool = Buffer.alloc((salt_chars * salts * 6) / 8);

/** Turns entries into lines. Works on text, so that no field is copied once more for every record. */
export class Formatter {
  readonly #writer: string;
  readonly #heads = new Map<RecordKind, string>();
  readonly #labels: string;
  #salts = '';
  #drawn = salts;
  readonly #timestamps = new Timestamps();

  /** `version` is the product's, as in OPA's labels. */
  constructor(writer: string, version: string | undefined) {
    this.#writer = `"writer":${JSON.stringify(writer)},"sequence":`;
    this.#labels = whole(`","labels":${JSON.stringify({ id: writer, version })}`);
  }

  /** One line with its line end. Throws AuditError for what JSON cannot say. */
  line({ kind, fields, personal }: Entry, sequence: number, now_ms: number): string {
    try {
      const own = fields instanceof Members ? fields.text : members(fields, fieldName);
      const rest = personal === undefined ? '' : `,"salt":"${this.#salt()}","personal":{${inside(personal)}}`;
      return (
        `${this.#head(kind)}${sequence},"timestamp":"${this.#timestamps.at(now_ms)}${this.#labels}` +
        `${own === '' ? '' : `,${own}`}${rest}}\n`
      );
    } catch (error) {
      throw new AuditError('a record cannot be written', { detail: (error as Error).message, cause: error });
    }
  }

  #head(kind: RecordKind): string {
    let head = this.#heads.get(kind);
    if (head === undefined) {
      head = whole(`{"version":1,"kind":"${kind}",${this.#writer}`);
      this.#heads.set(kind, head);
    }
    return head;
  }

  #salt(): string {
    if (this.#drawn === salts) {
      this.#salts = randomFillSync(pool).toString('base64url');
      this.#drawn = 0;
    }
    const start = this.#drawn * salt_chars;
    this.#drawn += 1;
    return this.#salts.slice(start, start + salt_chars);
  }
}

const inside = (object: object) => (object instanceof Members ? object.text : members(object));
