/** In which forms a secret comes back from whoever was asked with it, where nobody means to hide it. */

/** Shorter ones would be found in anything. */
export const secret_chars_min = 8;
/** Of what stands behind a name in a field (`Token token=…`): names of things are shorter. */
const named_chars_min = 16;

/**
 * What of a field is secret: not the word for the way in which it is one (Bearer, Basic, Token). Of Basic (RFC 7617) it is the
 * password as well.
 */
export function secretsOf(value: string): readonly string[] {
  const [, scheme = '', rest = value] = /^([A-Za-z][A-Za-z0-9-]*) +(\S.*)$/.exec(value) ?? [];
  const named = [...rest.matchAll(/="?([^",;\s]+)/g)].map(([, part = '']) => part);
  const secrets = [rest.replace(/=+$/, ''), ...named.filter(({ length }) => length >= named_chars_min)];
  return scheme.toLowerCase() === 'basic' ? [...secrets, passwordOf(rest)] : secrets;
}

function passwordOf(coded: string): string {
  const login = Buffer.from(coded, 'base64').toString();
  return login.slice(login.indexOf(':') + 1);
}

/** A secret as it is, and as it stands in URLs, forms, JSON, HTML, and in base64 with whatever before and behind it. */
export function spellingsOf(secret: string): readonly string[] {
  if (secret.length < secret_chars_min) return [];
  const url = encodeURIComponent(secret);
  const form = new URLSearchParams([['', secret]]).toString().slice(1);
  const json = JSON.stringify(secret).slice(1, -1);
  const coded = [0, 1, 2].map((before) => inBase64(secret, before));
  return [
    ...new Set([
      secret,
      ...[url, form].flatMap((text) => [text, text.replace(/%[0-9A-F]{2}/g, (one) => one.toLowerCase())]),
      ...[json, json.replaceAll('/', '\\/'), json.replace(/[^\x20-\x7e]/g, (one) => `\\u${hexOf(one)}`)],
      // As .NET and Go write it, so that it may stand in HTML.
      secret.replace(/["&'+<>\\`]/g, (one) => `\\u${hexOf(one).toUpperCase()}`),
      json.replace(/[&<>]/g, (one) => `\\u${hexOf(one)}`),
      ...html.map((names) => secret.replace(/[&<>"'+/=`]/g, (one) => names[one] ?? one)),
      ...coded,
      ...coded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    ]),
  ];
}

const hexOf = (one: string): string => one.charCodeAt(0).toString(16).padStart(4, '0');

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
/** PHP and Java, Python, Go, and what templates of JavaScript have. */
const html: readonly Readonly<Record<string, string>>[] = [
  { ...entities },
  { ...entities, "'": '&#39;' },
  { ...entities, "'": '&#039;' },
  { ...entities, "'": '&#x27;' },
  { ...entities, '"': '&#34;', "'": '&#39;' },
  { ...entities, '"': '&#34;', "'": '&#39;', '+': '&#43;' },
  { ...entities, "'": '&#39;', '/': '&#x2F;', '=': '&#x3D;', '`': '&#x60;' },
];

/** Behind so many bytes, modulo three: without the letters that hold bits of others. */
export function inBase64(secret: string, before: number): string {
  const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
  const first = Math.ceil((before * 8) / 6);
  return bytes.toString('base64').slice(first, Math.floor((bytes.length * 8) / 6));
}
