import { RequestRefusal } from '../../../web/index.js';
import { specials } from './special.js';
import { messageOf, type Field, type Message, type Type } from './table.js';
import { none, singles, Wire, WireError, type WireType } from './wire.js';

/**
 * Objects in protobuf as the JSON that the API server itself would write of them. It is the JSON that is judged, and the JSON that
 * leaves: the API server never sees the protobuf, and so cannot read it in another way. What is not known of it is
 * refused, never left out.
 */

export const protobuf = 'application/vnd.kubernetes.protobuf';

const magic = Buffer.from('k8s\0');
/** Of the JSON: the API server takes no more of an object, and what is short in protobuf can be long in JSON. */
const chars_max = 3_145_728;
const depth_max = 64;
const instead = 'write it as JSON (in client-go, rest.Config with ContentType "application/json")';

/** Throws RequestRefusal: 400 for what is malformed, 413 for too much, 415 for what is not known here. */
export function jsonOfProtobuf(body: Buffer): string {
  try {
    return new Reader().object(body);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new RequestRefusal(400, 'protobuf', `the protobuf cannot be read: ${error.message}; ${instead}`);
  }
}

const placeOf = ({ message, number }: Field) => `(${message}, ${String(number)})`;
const unknown = (what: string) => new RequestRefusal(415, 'media_type', `the protobuf has ${what}; ${instead}`);

/** What was read of one field, as JSON: of a list its elements, of a map its values by their keys. */
type Found = string | string[] | Map<string, string>;

/** What Go takes for empty: a field that is left out where it is that. */
const empty: ReadonlySet<string> = new Set(['""', 'false', '0', 'null', '[]']);

/** What Go holds where nothing was read, but for structures. */
const zeros: Readonly<Partial<Record<Type['kind'], string>>> = {
  ...{ string: '""', bool: 'false', int32: '0', int64: '0', double: '0' },
  ...{ bytes: 'null', list: 'null' },
};

/** The members of messages in which nothing stands; as many as there are messages. */
const zeroMembers = new Map<Message, string>();

class Reader {
  #chars = 0;

  /** `Unknown { TypeMeta typeMeta = 1; bytes raw = 2; string contentEncoding = 3; string contentType = 4; }` */
  object(body: Buffer): string {
    if (!body.subarray(0, magic.length).equals(magic))
      throw new WireError('it does not begin as all of it does in Kubernetes');
    const envelope = singles(new Wire(body, magic.length), 'Unknown', ['bytes', 'bytes', 'bytes', 'bytes']);
    const meta = singles(envelope.bytes(1), 'TypeMeta', ['bytes', 'bytes']);
    const [version, kind] = [meta.bytes(1).text(), meta.bytes(2).text()];
    if (!envelope.bytes(3).done || !envelope.bytes(4).done)
      throw unknown('an object that is packed, or of another type in turn');
    const message = messageOf(version, kind);
    if (message === undefined) throw unknown('a kind that is not known here, or none');
    const own = `"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(version)}`;
    const members = this.#members(message, envelope.bytes(2), 0);
    return members === '' ? `{${own}}` : `{${own},${members}}`;
  }

  /** The members of an object, without its braces. */
  #members(message: Message, wire: Wire, depth: number): string {
    if (wire.done) return this.#took(this.#zeroOf(message, depth));
    return this.#written(message, this.#fields(message, wire, depth), depth);
  }

  #fields(message: Message, wire: Wire, depth: number): Map<Field, Found> {
    if (depth > depth_max) throw new WireError(`it is more than ${String(depth_max)} messages deep`);
    const all = new Map<Field, Found>();
    while (!wire.done) {
      const { number, type } = wire.tag();
      const field = message.fields.get(number);
      if (field === undefined) throw unknown(`a field that is not known here (${message.name}, ${String(number)})`);
      if (type !== (field.form === 'map' ? 'bytes' : wireTypeOf(field.type)))
        throw unknown(`a field of another type than is known here ${placeOf(field)}`);
      this.#find(field, wire, depth, all);
    }
    return all;
  }

  #find(field: Field, wire: Wire, depth: number, all: Map<Field, Found>): void {
    const before = all.get(field);
    if (field.form === 'map') {
      const values = before instanceof Map ? before : new Map<string, string>();
      const [key, value] = this.#entry(field, wire.inside(), depth);
      if (values.has(key)) throw new WireError(`it has a key twice ${placeOf(field)}`);
      values.set(key, value);
      if (before === undefined) all.set(field, values);
      return;
    }
    const value = this.#value(field.type, wire, depth);
    if (field.form !== 'list' && before !== undefined) throw new WireError(`it has a field twice ${placeOf(field)}`);
    if (Array.isArray(before)) before.push(value);
    else all.set(field, field.form === 'list' ? [value] : value);
  }

  /** `map<string, V>` is `repeated { string key = 1; V value = 2; }`. */
  #entry(field: Field, wire: Wire, depth: number): [string, string] {
    const { type } = field;
    let key: string | undefined;
    let value: string | undefined;
    while (!wire.done) {
      const { number, type: own } = wire.tag();
      if (number === 1 && own === 'bytes' && key === undefined) key = this.#took(JSON.stringify(wire.inside().text()));
      else if (number === 2 && own === wireTypeOf(type) && value === undefined) value = this.#value(type, wire, depth);
      else throw new WireError(`it has an entry that is no key and value ${placeOf(field)}`);
    }
    // Empty bytes are not written, and read as none that are missing.
    return [key ?? '""', value ?? (type.kind === 'bytes' ? '""' : this.#zero(type, depth))];
  }

  #written(message: Message, all: ReadonlyMap<Field, Found>, depth: number): string {
    const members: string[] = [];
    for (const [field, found] of all) this.#member(field, found, members, depth);
    for (const field of message.shown) if (!all.has(field)) this.#member(field, undefined, members, depth);
    return members.join(',');
  }

  #member(field: Field, found: Found | undefined, members: string[], depth: number): void {
    const text = this.#textOf(field, found, depth);
    if (field.name === '') {
      // Its members stand among those of what it is in.
      if (text !== '{}') members.push(text.slice(1, -1));
    } else if (field.form !== 'value' || !field.omitted || !empty.has(text)) {
      members.push(this.#took(field.member) + text);
    }
  }

  #textOf({ form, type }: Field, found: Found | undefined, depth: number): string {
    if (typeof found === 'string') return found;
    if (Array.isArray(found)) return `[${found.join(',')}]`;
    if (found !== undefined) return `{${Array.from(found, ([key, value]) => `${key}:${value}`).join(',')}}`;
    return form === 'value' ? this.#zero(type, depth) : 'null';
  }

  #zero(type: Type, depth: number): string {
    return zeros[type.kind] ?? this.#structure(type, none(), depth);
  }

  #zeroOf(message: Message, depth: number): string {
    let members = zeroMembers.get(message);
    if (members === undefined) {
      members = this.#written(message, new Map(), depth);
      zeroMembers.set(message, members);
    }
    return members;
  }

  #value(type: Type, wire: Wire, depth: number): string {
    switch (type.kind) {
      case 'string':
        return this.#took(JSON.stringify(wire.inside().text()));
      case 'bytes':
        return this.#took(`"${wire.inside().bytes().toString('base64')}"`);
      case 'bool':
        return this.#took(String(wire.bool()));
      case 'int32':
        return this.#took(String(wire.int32()));
      case 'int64':
        return this.#took(String(wire.int64()));
      case 'double':
        return this.#took(String(wire.double()));
      default:
        return this.#structure(type, wire.inside(), depth);
    }
  }

  #structure(type: Type, wire: Wire, depth: number): string {
    switch (type.kind) {
      case 'message':
        this.#took('{}');
        return `{${this.#members(type.message, wire, depth + 1)}}`;
      case 'list':
        return this.#list(type.of, wire, depth);
      case 'either':
        return this.#either(type.message, wire, depth);
      case 'time':
      case 'microtime':
      case 'duration':
      case 'quantity':
      case 'int-or-string':
      case 'raw':
        return this.#took(specials[type.kind](wire));
      default:
        throw new Error(`${type.kind} is no structure`);
    }
  }

  /** A list that is a message of its own: `{ repeated T items = 1; }`. */
  #list(type: Type, wire: Wire, depth: number): string {
    const values: string[] = [];
    while (!wire.done) {
      const tag = wire.tag();
      if (tag.number !== 1 || tag.type !== wireTypeOf(type)) throw new WireError('it has a list with other fields');
      values.push(this.#value(type, wire, depth));
    }
    return `[${values.join(',')}]`;
  }

  /** What JSON has one of the fields in place of: the list, or the schema, or yes or no. */
  #either(message: Message, wire: Wire, depth: number): string {
    const all = [...this.#fields(message, wire, depth + 1)];
    const [list, schema, other] = (['list', 'pointer', 'value'] as const).map((form) =>
      all.find(([field]) => field.form === form),
    );
    if (list !== undefined && schema !== undefined)
      throw new WireError(`it has two in the place of one (${message.name})`);
    const [field, found] = list ?? schema ?? other ?? [];
    if (field !== undefined) return this.#textOf(field, found, depth);
    return [...message.fields.values()].some(({ form }) => form === 'value') ? 'false' : 'null';
  }

  /** Counts what becomes part of the JSON. */
  #took(text: string): string {
    this.#chars += text.length + 1;
    if (this.#chars > chars_max)
      throw new RequestRefusal(413, 'body_too_large', `the object has more than ${String(chars_max)} bytes as JSON`);
    return text;
  }
}

function wireTypeOf({ kind }: Type): WireType {
  if (kind === 'bool' || kind === 'int32' || kind === 'int64') return 'varint';
  return kind === 'double' ? 'fixed64' : 'bytes';
}
