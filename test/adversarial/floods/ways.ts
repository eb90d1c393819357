import type { Random } from '../corruptions.js';
import { framed, headChanged, replaced, withField, written, type Draft, type Ways } from './draft.js';

/** How requests are malformed whatever they ask: their line, their target, their fields, their framing, their end. */

const words = ['a', 'orders', 'x1', 'name', 'web-0'];

/** Pieces of a path that are none, or that servers read in more than one way. */
const badPieces = [
  ...['%', '%2', '%zz', '%u0041', 'a%', '%C0%AF', '%ED%A0%80', '%FF', '%F8%88%80%80%80', '%00', '%0d%0aX:%20y', '%7f'],
  ...['..', '.', '%2e%2e', '.%2e', '%2E.', '..;x', '%252e%252e', '%25%32%65', '%2e%2e%2f', '..%5c', '\\x', '%5c..'],
  ...['%EF%BC%8Fx', '%E2%80%A5', 'a%EF%BC%BCb', '/x', '"x"', '<x>', '{x}', 'x|y', 'x^y', '`x`', 'x#y', '[x]'],
];

function withPiece(draft: Draft, from: Random): Draft {
  const [path = '', query] = draft.target.split('?');
  const more = `${path}/${from.pick(words)}/${from.pick(badPieces)}${from.pick(['', '/', '/x'])}`;
  return { ...draft, target: query === undefined ? more : `${more}?${query}` };
}

/** What an answer can be given to, and the connection goes on. */
export const targetWays: Ways = {
  'a bad piece of a path': withPiece,
  'a bad escape in the query': (draft, from) => ({
    ...draft,
    target: `${draft.target.split('?')[0]!}?${from.pick(words)}=${from.pick(['%', '%2', '%zz', '%C3', '%FF', '%00', '%C0%80'])}`,
  }),
  'a name twice in the query': (draft, from) => {
    const name = from.pick(words);
    const again = from.pick([name, name.toUpperCase(), `%${name.charCodeAt(0).toString(16)}${name.slice(1)}`]);
    return { ...draft, target: `${draft.target.split('?')[0]!}?${name}=1&${again}=2` };
  },
  'a character that has to be encoded in the query': (draft, from) => ({
    ...draft,
    target: `${draft.target.split('?')[0]!}?a=${from.pick(['#', '#b', 'x#'])}`,
  }),
};

const overriding = ['X-HTTP-Method-Override', 'X-Original-URL', 'X-Rewrite-Url', 'X-Method-Override', 'X-Http-Method'];

export const fieldWays: Ways = {
  'a field that says another method': (draft, from) => withField(from.pick(overriding), 'DELETE')(draft, from),
  'a field beyond ASCII': (draft, from) =>
    withField('X-Note', Buffer.from([0x63, from.pick([0x80, 0xe9, 0xff])]).toString('latin1'))(draft, from),
  'a field with an underscore': (draft, from) =>
    withField(from.pick(['X_Note', 'Content_Length', '_']), '1')(draft, from),
  'a field twice': (draft, from) => {
    const name = from.pick(['User-Agent', 'X-Note', 'Content-Type']);
    return { ...draft, fields: [...draft.fields, [name, 'a/b'], [name.toLowerCase(), 'c/d']] };
  },
  'too many fields': (draft, from) => ({
    ...draft,
    fields: [
      ...draft.fields,
      ...Array.from({ length: 201 + from.below(40) }, (_, at) => [`X-${String(at)}`, '1'] as const),
    ],
  }),
  'a connection that names fields': (draft, from) =>
    withField('Connection', from.pick(['authorization', 'x-secret', 'close, content-type', 'upgrade, host']))(
      draft,
      from,
    ),
};

/** Who asks is not known, or says it twice. */
export const tokenWays: Ways = {
  'no token': (draft) => ({ ...draft, fields: draft.fields.filter(([name]) => name !== 'Authorization') }),
  'a token that is none': (draft, from) =>
    replaced(
      draft,
      'authorization',
      `Bearer ${from.pick(['x', 'a.b.c', '..', '0'.repeat(17_000), from.bytes(30).toString('base64')])}`,
    ),
  'a token that was changed': (draft, from) => {
    const value = draft.fields.find(([name]) => name === 'Authorization')?.[1] ?? '';
    // Behind the head of the token: what is signed, or the signature. The last letter has bits that say nothing.
    const at = value.length - 2 - from.below(Math.floor(value.length / 2));
    const letter = value[at] === 'A' ? 'B' : 'A';
    return replaced(draft, 'authorization', value.slice(0, at) + letter + value.slice(at + 1));
  },
  'a scheme that is none': (draft, from) =>
    replaced(draft, 'authorization', from.pick(['Digest x', 'Bearer', 'Basic !', 'x', 'Negotiate abc', 'Bearer a b'])),
};

/** What the reader of HTTP itself stumbles over: the connection ends. */
export const lineWays: Ways = {
  'a method that is none': (draft, from) => ({
    ...draft,
    method: from.pick(['', 'get', 'G E T', 'FROB', '\x01', 'GET\x00', 'X'.repeat(3_000), '"GET"', 'GET,POST', 'ПUT']),
  }),
  'a version that is none': (draft, from) => ({
    ...draft,
    version: from.pick([
      'HTTP/0.9',
      'HTTP/2.0',
      'HTTP/1.2',
      'HTTP/3.0',
      'HTTP/1',
      'http/1.1',
      'HTTPS/1.1',
      'HTTP/1.1x',
      'HTTP/1.10',
      'HTTP/-1.1',
      '',
    ]),
  }),
  'a target with controls': (draft, from) => ({
    ...draft,
    target: `${draft.target}${from.pick(['\x00', '\x01', '\t', '\x0b', '\x7f', ' x'])}y`,
  }),
  'a target that is elsewhere': (draft, from) => ({
    ...draft,
    target: from.pick([
      '*',
      'cloud:443',
      '//cloud/x',
      '\\',
      'x',
      '',
      'http://',
      'file:///etc/passwd',
      'http://cloud/http/web/a',
    ]),
  }),
  'lines that end otherwise': (draft, from) =>
    headChanged(draft, (head) => head.replace(/\r\n/, from.pick(['\n\r', '\r', '\r\r\n', '\x0b', '\0\r\n']))),
  'a greeting of another protocol': (_draft, from) =>
    Buffer.from(
      from.pick([
        'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00',
        'SSH-2.0-OpenSSH_9.6\r\n\r\n',
        '\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03',
        '\x00\x00\x00\x08\x04\xd2\x16\x2f',
        '{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n\r\n',
        'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nGET / HTTP/1.1\r\n\r\n',
        '\0\0\0\0\r\n\r\n',
      ]),
      'latin1',
    ),
  'bytes without a meaning': (_draft, from) =>
    Buffer.concat([Buffer.from([from.pick([0, 1, 0x80, 0xff])]), from.bytes(1 + from.below(300))]),
};

export const headWays: Ways = {
  'a field without a name': (draft, from) =>
    headChanged(draft, (head) => `${head}\r\n${from.pick([': x', ':', ' : x'])}`),
  'a name that is none': (draft, from) =>
    headChanged(
      draft,
      (head) => `${head}\r\n${from.pick(['X Note', 'X-Note ', 'X\x00', 'X\x7f', 'X(', 'X"', 'é', 'X@', 'X\t'])}: 1`,
    ),
  'a value with controls': (draft, from) =>
    headChanged(draft, (head) => `${head}\r\nX-Note: a${from.pick(['\0', '\x01', '\x0b', '\x7f', '\rb', '\r\rb'])}c`),
  'a folded line': (draft, from) =>
    headChanged(draft, (head) => `${head}\r\nX-Note: a\r\n${from.pick([' ', '\t'])}b: c`),
  'a line without a colon': (draft, from) =>
    headChanged(draft, (head) => `${head}\r\n${from.pick(['x', 'GET / HTTP/1.1', '{}'])}`),
  'no host': (draft) => ({ ...draft, fields: draft.fields.filter(([name]) => name !== 'Host') }),
  'two hosts': (draft, from) => withField('Host', from.pick(['other', 'cloud', '127.0.0.1']))(draft, from),
  'a head without an end': (draft, from) => withField('X-Long', 'x'.repeat(33_000 + from.below(20_000)))(draft, from),
  'an expectation that is none': (draft, from) => withField('Expect', from.pick(['200-ok', 'x']))(draft, from),
};

const chunk = (body: Buffer) =>
  Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n')]);
const last = Buffer.from('0\r\n\r\n');
const chunkedLine = 'Transfer-Encoding: chunked';

/** @param well A request that would be let through: it stands behind, for those who lose count. */
export const framingWays = (well: Buffer): Ways => ({
  'two lengths': (draft, from) => {
    const length = draft.body.length;
    const [first, second] = from.pick([
      [length, 0],
      [0, length],
      [length, length + 1],
      [length, length],
    ] as const);
    return framed(
      draft,
      [`Content-Length: ${String(first)}`, `Content-Length: ${String(second)}`],
      Buffer.concat([draft.body, well]),
    );
  },
  'a length that is none': (draft, from) => {
    const length = from.pick(['-1', '+5', '0x10', '1e3', '5,5', '5 5', '٣', '', '9'.repeat(30), '5;', '"5"', '1.0']);
    return framed(draft, [`Content-Length: ${length}`], Buffer.concat([draft.body, well]));
  },
  'a length and chunks': (draft, from) => {
    const lines = [`Content-Length: ${String(from.pick([draft.body.length, 0, 3]))}`, chunkedLine];
    return framed(draft, from.below(2) === 0 ? lines : lines.reverse(), Buffer.concat([chunk(draft.body), last, well]));
  },
  'an encoding that is none': (draft, from) => {
    const coding = from.pick([
      'xchunked',
      'chunked, identity',
      'chunked;q=1',
      'gzip',
      'identity',
      'chunked\x0b',
      '"chunked"',
      ',',
      'chun\0ked',
      'chunked, chunked',
      'gzip, chunked',
      'chunkedd',
    ]);
    return framed(draft, [`Transfer-Encoding: ${coding}`], Buffer.concat([chunk(draft.body), last, well]));
  },
  'two encodings': (draft, from) =>
    framed(
      draft,
      [chunkedLine, `Transfer-Encoding: ${from.pick(['identity', 'x', 'chunked'])}`],
      Buffer.concat([chunk(draft.body), last, well]),
    ),
  'a chunk size that is none': (draft, from) => {
    const size = from.pick([
      '',
      'g',
      '-1',
      '+5',
      '0x5',
      ' 5',
      '5 5',
      'f'.repeat(17),
      '1'.repeat(40),
      '5\n',
      '\0',
      '5,5',
      '٣',
    ]);
    return framed(
      draft,
      [chunkedLine],
      Buffer.concat([Buffer.from(`${size}\r\n`), draft.body, Buffer.from('\r\n'), last, well]),
    );
  },
  'a chunk of another size': (draft, from) => {
    const size = Math.max(1, draft.body.length + from.pick([-3, -1, 1, 2, 70_000]));
    return framed(
      draft,
      [chunkedLine],
      Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), draft.body, Buffer.from('\r\n'), last]),
    );
  },
  'chunks without an end': (draft, from) =>
    framed(
      draft,
      [chunkedLine],
      Buffer.concat([chunk(draft.body), Buffer.from(from.pick(['', '0', '0\r\n', '\r\n', '0\r\nX: 1\r\n', 'x']))]),
    ),
  'chunks with lines that end otherwise': (draft, from) => {
    const end = from.pick(['\n', '\r', '\r\r\n', '\n\n']);
    return framed(
      draft,
      [chunkedLine],
      Buffer.concat([
        Buffer.from(`${draft.body.length.toString(16)}${end}`),
        draft.body,
        Buffer.from(`${end}0${end}${end}`),
        well,
      ]),
    );
  },
  'an extension of a chunk that never ends': (draft, from) =>
    framed(
      draft,
      [chunkedLine],
      Buffer.concat([Buffer.from(`1;${'x'.repeat(20_000 + from.below(20_000))}\r\n{\r\n`), last]),
    ),
  'a body that is shorter than it says': (draft, from) =>
    framed(draft, [`Content-Length: ${String(draft.body.length + 1 + from.below(5_000))}`], draft.body),
  'a body that is longer than it says': (draft, from) =>
    framed(draft, [`Content-Length: ${String(from.below(draft.body.length - 2) + 1)}`], draft.body),
});

export const truncationWays: Ways = {
  truncated: (draft, from) => {
    const bytes = written(draft);
    return bytes.subarray(0, 1 + from.below(bytes.length - 1));
  },
  'truncated in the head': (draft, from) => {
    const bytes = written(draft);
    return bytes.subarray(0, 1 + from.below(bytes.indexOf('\r\n\r\n')));
  },
};

/** Another protocol than HTTP/1.1 is asked for, of who speaks none. */
export const upgradeWays: Ways = {
  'an upgrade': (draft, from) => ({
    ...draft,
    fields: [
      ...draft.fields,
      ['Connection', from.pick(['Upgrade', 'upgrade, HTTP2-Settings', 'keep-alive, Upgrade'])],
      ['Upgrade', from.pick(['websocket', 'h2c', 'SPDY/3.1', 'TLS/1.0', 'x', 'websocket, h2c', ''])],
      ['Sec-WebSocket-Version', from.pick(['13', '8', '', 'x'])],
      ['Sec-WebSocket-Key', from.pick(['dGhlIHNhbXBsZSBub25jZQ==', '', 'x', '!'.repeat(24)])],
    ],
  }),
};
