import { ofStrings, type Table, type Value } from './builtin.js';

/** Texts as other texts: base64, hexadecimal, query strings, UUIDs. */

/** Go's url.QueryEscape: all but these stands as percent and two digits, and a space as "+". */
function queryEscape(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

/** Undefined where a percent sign has no two digits behind it. Bytes that are no UTF-8 become U+FFFD. */
function queryUnescape(text: string): string | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return undefined;
  const bytes = text
    .replaceAll('+', ' ')
    .split(/(%[0-9a-fA-F]{2})/)
    .map((part) => (/^%[0-9a-fA-F]{2}$/.test(part) ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part)));
  return Buffer.concat(bytes).toString('utf8');
}

function encodeObject(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const pairs: string[] = [];
  const keys = Object.keys(value).sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
  for (const key of keys) {
    const given = (value as Record<string, unknown>)[key];
    const many: unknown[] = Array.isArray(given) ? given : [given];
    if (!many.every((one) => typeof one === 'string')) return undefined;
    pairs.push(...many.map((one) => `${queryEscape(key)}=${queryEscape(one)}`));
  }
  return pairs.join('&');
}

/** A semicolon is no separator, and one that stands there is an error: Go says so since 1.17. */
function decodeObject(query: string): Value | undefined {
  const found = new Map<string, string[]>();
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    if (pair.includes(';')) return undefined;
    const at = pair.indexOf('=');
    const key = queryUnescape(at < 0 ? pair : pair.slice(0, at));
    const value = queryUnescape(at < 0 ? '' : pair.slice(at + 1));
    if (key === undefined || value === undefined) return undefined;
    found.set(key, [...(found.get(key) ?? []), value]);
  }
  return Object.fromEntries(found);
}

const uuidForm = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$/i;

/** By its length alone, as Go's reader goes by: of 38 characters the first and the last are taken for braces. */
function bareUuid(text: string): string | undefined {
  if (text.length === 36 || text.length === 32) return text;
  if (text.length === 38) return text.slice(1, 37);
  return /^urn:uuid:.{36}$/i.test(text) ? text.slice(9) : undefined;
}

/** RFC 4122. Versions 1 and 2 say when and where they were made. */
function parseUuid(text: string): Value | undefined {
  const plain = bareUuid(text);
  if (plain === undefined || !uuidForm.test(plain)) return undefined;
  const bytes = Buffer.from(plain.replaceAll('-', ''), 'hex');
  const version = bytes[6]! >> 4;
  const found = { version, variant: variantOf(bytes[8]!) };
  if (version !== 1 && version !== 2) return found;
  const ticks =
    ((BigInt(bytes.readUInt16BE(6)) & 0xfffn) << 48n) |
    (BigInt(bytes.readUInt16BE(4)) << 32n) |
    BigInt(bytes.readUInt32BE(0));
  const node = bytes.subarray(10);
  const dated = {
    ...found,
    // From 100 ns since 15 October 1582 to nanoseconds since 1970, in 64 bits: beyond them OPA's wrap around, too.
    time: BigInt.asIntN(64, (ticks - 0x01b21dd213814000n) * 100n),
    nodeid: [...node].map((byte) => byte.toString(16).padStart(2, '0')).join('-'),
    macvariables: `${(node[0]! & 2) === 2 ? 'local' : 'global'}:${(node[0]! & 1) === 1 ? 'multicast' : 'unicast'}`,
    clocksequence: bytes.readUInt16BE(8) & 0x3fff,
  };
  if (version === 1) return dated;
  const domain = ['Person', 'Group', 'Org'][bytes[9]!] ?? `Domain${String(bytes[9]!)}`;
  return { ...dated, id: bytes.readUInt32BE(0), domain };
}

function variantOf(byte: number): string {
  if ((byte & 0xc0) === 0x80) return 'RFC4122';
  if ((byte & 0xe0) === 0xc0) return 'Microsoft';
  return (byte & 0xe0) === 0xe0 ? 'Future' : 'Reserved';
}

export const encoding: Table = {
  'base64url.encode_no_pad': ofStrings((text) => Buffer.from(text).toString('base64url')),
  'hex.decode': ofStrings((text) => {
    if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
    return Buffer.from(text, 'hex').toString('utf8');
  }),
  'hex.encode': ofStrings((text) => Buffer.from(text, 'utf8').toString('hex')),
  'urlquery.decode': ofStrings((text) => queryUnescape(text)),
  'urlquery.decode_object': ofStrings((text) => decodeObject(text)),
  'urlquery.encode': ofStrings((text) => queryEscape(text)),
  'urlquery.encode_object': ([value]) => encodeObject(value),
  'uuid.parse': ofStrings((text) => parseUuid(text)),
};
