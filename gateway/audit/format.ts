import { AuditError } from '../errors.js';
import { Timestamps } from '../timestamp.js';
import { Part, type Unsealed } from './chain.js';
import { Members, members, nameOf, toJson, whole } from './json.js';
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
  'chain',
]);

function fieldName(name: string): string {
  if (reserved.has(name)) throw new Error(`the field ${name} is reserved`);
  return nameOf(name);
}

/** Turns entries into lines. Works on text, so that no field is copied once more for every record. */
export class Formatter {
  readonly #writer: string;
  readonly #heads = new Map<RecordKind, string>();
  readonly #labels: string;
  readonly #timestamps = new Timestamps();

  /** `version` is the product's, as in OPA's labels. */
  constructor(writer: string, version: string | undefined) {
    this.#writer = `"writer":${JSON.stringify(writer)},"sequence":`;
    this.#labels = whole(`","labels":${JSON.stringify({ id: writer, version })}`);
  }

  /** One record without its end, which the chain puts there. Throws AuditError for what JSON cannot say. */
  line({ kind, fields, personal }: Entry, sequence: number, now_ms: number): Unsealed {
    try {
      const own = fields instanceof Members ? fields.text : members(fields, fieldName);
      const head = `${this.#head(kind)}${sequence},"timestamp":"${this.#timestamps.at(now_ms)}${this.#labels}`;
      return { head: own === '' ? head : `${head},${own}`, parts: personal === undefined ? none : partsOf(personal) };
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
}

const none: readonly Part[] = [];

function partsOf(personal: NonNullable<Entry['personal']>): readonly Part[] {
  if (Array.isArray(personal)) return personal as readonly Part[];
  const parts: Part[] = [];
  for (const [name, value] of Object.entries(personal)) {
    const text = toJson(value);
    if (text !== undefined) parts.push(new Part(name, text));
  }
  return parts;
}
