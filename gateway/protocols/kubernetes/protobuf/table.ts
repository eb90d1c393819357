import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Special } from './special.js';

/**
 * Kubernetes' own messages: read once from messages.txt, which ships beside this file's source, and of which
 * scripts/kubernetes-messages.mjs says how it is written.
 */

export type Scalar = 'string' | 'bool' | 'int32' | 'int64' | 'double' | 'bytes';

/** What one value is. */
export type Type =
  | { readonly kind: Scalar | Special }
  /** `either`: JSON has one of its fields in its place. */
  | { readonly kind: 'message' | 'either'; readonly message: Message }
  /** A list that is a message of its own. */
  | { readonly kind: 'list'; readonly of: Type };

export interface Field {
  /** The name of the message that it is in. */
  readonly message: string;
  readonly number: number;
  /** In JSON; empty: its members stand among those of the message that it is in. */
  readonly name: string;
  /** The name as JSON has it before a value. */
  readonly member: string;
  readonly form: 'value' | 'pointer' | 'list' | 'map';
  readonly type: Type;
  /** Whether JSON has it not where it is empty. */
  readonly omitted: boolean;
}

export interface Message {
  readonly name: string;
  readonly fields: ReadonlyMap<number, Field>;
  /** Those that JSON has even where protobuf has them not. */
  readonly shown: readonly Field[];
}

const scalars: ReadonlySet<string> = new Set<Scalar>(['string', 'bool', 'int32', 'int64', 'double', 'bytes']);
const specials: ReadonlySet<string> = new Set<Special>([
  ...(['time', 'microtime', 'duration', 'quantity', 'int-or-string', 'raw'] as const),
]);
const forms: Readonly<Record<string, Field['form']>> = { '': 'value', '*': 'pointer', '[]': 'list', '{}': 'map' };
const everywhere = '*';

/** This file runs as it stands (tests), and compiled beneath `dist/`, where data does not go. */
function shipped(): string {
  const beside = path.join(import.meta.dirname, 'messages.txt');
  if (existsSync(beside)) return beside;
  return path.join(import.meta.dirname, '../../../../../gateway/protocols/kubernetes/protobuf/messages.txt');
}

class Table {
  /** "apps/v1 Deployment" to the name of its message. */
  readonly kinds = new Map<string, string>();
  readonly #lines = new Map<string, string>();
  readonly #messages = new Map<string, Message>();

  constructor(text: string) {
    const [, kinds = '', messages = ''] = text.trimEnd().split('\n\n');
    for (const line of kinds.split('\n')) {
      const [version = '', home = '', ...names] = line.split(' ');
      for (const name of names) this.kinds.set(`${version} ${name}`, `${home}.${name}`);
    }
    for (const line of messages.split('\n')) {
      const [name = ''] = line.split(' ', 1);
      this.#lines.set(name, line.slice(name.length + 1));
    }
  }

  /** Messages are read when they are first used: of most, nobody ever sees one. */
  message(name: string): Message {
    const known = this.#messages.get(name);
    if (known !== undefined) return known;
    const line = this.#lines.get(name);
    if (line === undefined) throw new Error(`messages.txt has no line for ${name}`);
    const fields = new Map<number, Field>();
    const shown: Field[] = [];
    const message: Message = { name, fields, shown };
    // Before its fields are: there are messages with themselves in them.
    this.#messages.set(name, message);
    for (const text of line === '' ? [] : line.split(' ')) {
      const field = this.#field(text, name);
      fields.set(field.number, field);
      if (!field.omitted) shown.push(field);
    }
    return message;
  }

  /** `name=1:[]string!` */
  #field(text: string, message: string): Field {
    const [, name = '', number = '', sign = '', own = '', end = ''] =
      /^([^=]*)=(\d+):(\*|\[\]|\{\}|)(.+?)([!0]?)$/.exec(text) ?? [];
    const form = forms[sign]!;
    const type = this.#type(own, message.slice(0, message.indexOf('.') + 1));
    // What is a structure in Go is never empty, unless it is asked whether it is zero.
    const structure = form === 'value' && type.kind !== 'list' && !scalars.has(type.kind) && end !== '0';
    const member = `${JSON.stringify(name)}:`;
    return { message, number: Number(number), name, member, form, type, omitted: end !== '!' && !structure };
  }

  #type(text: string, home: string): Type {
    if (text.startsWith('<>')) return { kind: 'list', of: this.#type(text.slice(2), home) };
    if (scalars.has(text) || specials.has(text)) return { kind: text as Scalar | Special };
    if (text.startsWith('|')) return { kind: 'either', message: this.message(home + text.slice(1)) };
    return { kind: 'message', message: this.message(text.includes('.') ? text : home + text) };
  }
}

let table: Table | undefined;
const read = (): Table => (table ??= new Table(readFileSync(shipped(), 'utf8')));

/** Undefined for what is none of Kubernetes' own kinds. `version`: as in `apps/v1`. */
export function messageOf(version: string, kind: string): Message | undefined {
  const { kinds } = read();
  const name = kinds.get(`${version} ${kind}`) ?? kinds.get(`${everywhere} ${kind}`);
  return name === undefined ? undefined : read().message(name);
}
