import { hash as hashOf } from 'node:crypto';
import type { Template } from '../judging/statement.js';
import type { Form, Watched } from './literals.js';

/** Templates by form: a text whose like was analysed gets its template without a parse. */

export const forms_max = 4_096;
export const forms_chars_max = 8 * 1024 * 1024;
/** Of one form, by the literals that its analysis did look at (LIMIT 10, LIMIT 20, …); and of all forms together. */
export const variants_max = 256;
export const entries_max = 8_192;

/** What was made of texts of one form. */
export class Variants<Entry> {
  /** Literals that were looked at in some text of this form: entries hold for equal ones only. */
  readonly #seen = new Set<number>();
  readonly #entries = new Map<string, Entry>();

  constructor(readonly max = variants_max) {}

  get size(): number {
    return this.#entries.size;
  }

  get(form: Form): Entry | undefined {
    return this.#entries.get(variantOf(form, this.#seen));
  }

  /** `entry` was made out of the watched text, which nobody looks at any more. */
  keep({ form, seen }: Watched, entry: Entry): void {
    // The others were filed without regard to what was looked at only this time.
    const more = [...seen].filter((index) => !this.#seen.has(index));
    for (const index of more) this.#seen.add(index);
    if (more.length > 0 || this.#entries.size >= this.max) this.#entries.clear();
    this.#entries.set(variantOf(form, this.#seen), entry);
  }
}

export class Forms<Entry> {
  readonly #forms = new Map<string, Variants<Entry>>();
  #chars = 0;
  #entries = 0;

  get(form: Form): Entry | undefined {
    return this.#forms.get(form.key)?.get(form);
  }

  keep(watched: Watched, entry: Entry): void {
    const { key } = watched.form;
    let variants = this.#forms.get(key);
    if (variants === undefined) {
      variants = new Variants();
      this.#forms.set(key, variants);
      this.#chars += key.length;
    }
    this.#entries -= variants.size;
    variants.keep(watched, entry);
    this.#entries += variants.size;
    this.#makeRoom();
  }

  #makeRoom(): void {
    for (const [oldest, variants] of this.#forms) {
      if (this.#forms.size <= forms_max && this.#chars <= forms_chars_max && this.#entries <= entries_max) return;
      this.#entries -= variants.size;
      this.#forms.delete(oldest);
      this.#chars -= oldest.length;
    }
  }
}

function variantOf(form: Form, seen: ReadonlySet<number>): string {
  if (seen.size === 0) return '';
  let text = '';
  for (const [index, literal] of form.literals.entries()) if (seen.has(index)) text += `${literal.text}\0`;
  return text;
}

/** A template for other texts of its form. */
export class Retelling {
  readonly template: Template;
  readonly #place: { readonly database: string; readonly user: string };
  /** What stands around the text where it is hashed; made when a second text comes. */
  #around: { readonly head: string; readonly tail: string } | undefined;

  private constructor(template: Template, place: { readonly database: string; readonly user: string }) {
    this.template = template;
    this.#place = place;
  }

  /** Undefined where something in the template, beyond its hash, is made of the text itself. */
  static of(template: Template, place: { readonly database: string; readonly user: string }): Retelling | undefined {
    const { text, recorded, comment, statements, parameters } = template;
    if (recorded !== text || comment !== undefined || parameters > 0) return undefined;
    if (statements.length !== 1 || statements[0]!.control.kind !== 'none') return undefined;
    return new Retelling(template, place);
  }

  of(text: string): Template {
    if (text === this.template.text) return this.template;
    const { statements, action, resources, opaque, parameters, fleeting } = this.template;
    // As `template.ts` has it: the hash of [database, user, text, resources].
    this.#around ??= {
      head: `[${JSON.stringify(this.#place.database)},${JSON.stringify(this.#place.user)},`,
      tail: `,${JSON.stringify(resources)}]`,
    };
    const { head, tail } = this.#around;
    const hash = hashOf('sha256', head + JSON.stringify(text) + tail);
    const told = { text, statements, action, resources, opaque, hash, recorded: text, parameters };
    return fleeting === true ? { ...told, fleeting } : told;
  }
}
