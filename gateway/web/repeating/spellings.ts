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

/** A secret as it is, and as it stands in URLs, forms, JSON, HTML and XML, and in base64 with whatever before and behind it. */
export function spellingsOf(secret: string): readonly string[] {
  if (secret.length < secret_chars_min) return [];
  const characters = [...secret];
  const spelled = (code: (one: string) => string) => characters.map(code).join('');
  const urls = kept.map((keeps) => spelled((one) => (keeps.test(one) ? one : percent(one))));
  const forms = urls.map((text) => text.replaceAll('%20', '+'));
  const texts = escaped.map(([these, hex]) => spelled((one) => (these.test(one) ? codes(one, hex) : inText(one))));
  const coded = [0, 1, 2].map((before) => inBase64(secret, before));
  return [
    ...new Set([
      secret,
      ...[...urls, ...forms].flatMap((text) => [text, text.replace(/%[0-9A-F]{2}/g, (one) => one.toLowerCase())]),
      ...texts.flatMap((text) => [text, text.replaceAll('/', '\\/')]),
      ...quoted.map((these) => spelled((one) => (these.test(one) ? `\\${one}` : one))),
      ...html.map((names) => spelled((one) => names[one] ?? one)),
      ...coded,
      ...coded.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    ]),
  ];
}

/** What stays as it is in a URL, beside letters and digits: nobody agrees on the rest. */
const kept: readonly RegExp[] = [
  /[\w.~-]/, // RFC 3986 strictly: PHP, .NET, Go, Python where nothing may stay
  /[\w.~/-]/, // Python
  /[\w.~!'()*-]/, // encodeURIComponent
  /[\w.*-]/, // forms of browsers, Java
  /[\w.!()*-]/, // forms of .NET
  /[\w.~$&+:=@-]/, // segments of paths in Go
  /[\w.~$&+:=@,/;-]/, // its paths
  /[\w.~!'()*;,/?:@&=+$#-]/, // encodeURI
  /[^\x00-\x20"#'<>\x7f-\u{10ffff}]/u, // queries, as browsers correct them
  /[^\x00-\x20"#<>\x7f-\u{10ffff}]/u, // the same where the scheme is none of theirs
];

const percent = (one: string): string =>
  [...Buffer.from(one)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');

const inText = (one: string): string => JSON.stringify(one).slice(1, -1);
const small = (unit: string): string => unit.charCodeAt(0).toString(16).padStart(4, '0');
const large = (unit: string): string => small(unit).toUpperCase();
/** A character beyond 16 bits has two. */
const codes = (one: string, hex: (unit: string) => string): string =>
  one
    .split('')
    .map((unit) => `\\u${hex(unit)}`)
    .join('');

/** What is a code in JSON and in scripts beside what has to be, so that it may stand in HTML. */
const escaped: readonly (readonly [RegExp, (unit: string) => string])[] = [
  [/(?!)/, small],
  [/[^\x20-\x7e]/, small], // Python, PHP
  [/[&<>]/, small], // Go, Rails
  [/[&<>']/, small], // Python's templates
  [/[&<>'=]/, small], // Gson
  [/["&'+<>`]/, small], // Go's templates
  [/["&'+<>`]|[^\x20-\x7e]/, large], // .NET
  [/["&'<>]/, large], // PHP
  [/[&<>]/, large],
  [/[\\'"><&=;`-]/, large], // Django
];

/** What has a backslash before it in a text between quotes of another kind. */
const quoted: readonly RegExp[] = [/[\\']/, /\\/, /[\\'"]/];

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const named: Readonly<Record<string, string>> = { ...entities, '"': '&quot;' };
const numbered: Readonly<Record<string, string>> = { ...entities, '"': '&#34;', "'": '&#39;' };
/** As texts of XML, PHP and Java, XML, Python, ASP.NET, Go, its attributes without quotes, and what templates of JavaScript have. */
const html: readonly Readonly<Record<string, string>>[] = [
  entities,
  named,
  ...['&#39;', '&#039;', '&apos;', '&#x27;'].map((quote) => ({ ...named, "'": quote })),
  { ...named, "'": '&#x27;', '+': '&#x2B;', '`': '&#x60;' },
  numbered,
  { ...numbered, '+': '&#43;' },
  { ...numbered, '+': '&#43;', '=': '&#61;', '`': '&#96;', ' ': '&#32;' },
  { ...named, "'": '&#39;', '/': '&#x2F;', '=': '&#x3D;', '`': '&#x60;' },
];

/** Behind so many bytes, modulo three: without the letters that hold bits of others. */
export function inBase64(secret: string, before: number): string {
  const bytes = Buffer.concat([Buffer.alloc(before), Buffer.from(secret)]);
  const first = Math.ceil((before * 8) / 6);
  return bytes.toString('base64').slice(first, Math.floor((bytes.length * 8) / 6));
}
