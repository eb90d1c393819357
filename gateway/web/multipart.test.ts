import { describe, expect, test } from '@jest/globals';
import { readParts } from './multipart.js';
import { RequestRefusal } from './refusal.js';

const none = new Set<string>();
const type = 'multipart/form-data; boundary=b1';
const head = (name: string, more = '') => `Content-Disposition: form-data; name="${name}"${more}`;
const form = (...parts: string[]) => `${parts.map((part) => `--b1\r\n${part}\r\n`).join('')}--b1--\r\n`;
const read = (body: string | Buffer, value = type, repeated = none) =>
  readParts(Buffer.isBuffer(body) ? body : Buffer.from(body), value, repeated);

test('what browsers and curl send is read: names, file names, types, sizes, and texts', () => {
  const file = `${head('f', '; filename="a b.png"')}\r\nContent-Type: image/png\r\n\r\n\u0001`;
  const parts = read(
    form(`${head('title')}\r\n\r\nA \u00e9\r\nline`, file, `${head('t[]')}\r\n\r\n`, `${head('t[]')}\r\n\r\nx`),
  );
  expect(parts.map(({ sha256: _, ...part }) => part)).toEqual([
    { name: 'title', bytes: 10, text: 'A \u00e9\r\nline' },
    { name: 'f', filename: 'a b.png', media_type: 'image/png', bytes: 1 },
    { name: 't[]', bytes: 0, text: '' },
    { name: 't[]', bytes: 1, text: 'x' },
  ]);
  expect(read(form(`${head('j')}\r\nContent-Type: application/json\r\n\r\n{}`))[0]?.text).toBe('{}');
  expect(read(form(`${head('a')}\r\n\r\n1`), 'multipart/form-data; boundary="b1"')).toHaveLength(1);
});

describe('what parsers disagree on is refused', () => {
  const one = `${head('a')}\r\n\r\n1`;
  test.each<[string, string, ...string[]]>([
    ['something before the first part', `x\r\n${form(one)}`],
    ['something behind the last', `${form(one)}x`],
    ['padding behind a boundary', form(one).replace('--b1\r\n', '--b1 \r\n')],
    ['a boundary behind a line feed alone', form(`${head('a')}\r\n\r\n1\n--b1\r\n${head('b')}`)],
    ['a boundary inside a part', form(`${head('a')}\r\n\r\nx--b1`)],
    ['no last boundary', form(one).replace('--b1--\r\n', '')],
    ['no head', form('x')],
    ['line feeds alone in a head', form(one.replace('\r\n', '\n'))],
    ['a name twice', form(one, one)],
    ['a name twice, but for case', form(one, `${head('A')}\r\n\r\n2`)],
    ['no name', form('Content-Disposition: form-data\r\n\r\n1')],
    ['a name that is not quoted', form('Content-Disposition: form-data; name=a\r\n\r\n1')],
    ['an escaped quote in a name', form(`${head('a\\"b')}\r\n\r\n1`)],
    ['an encoded quote in a file name', form(`${head('a', '; filename="x%22y"')}\r\n\r\n1`)],
    ['two file names', form(`${head('a', `; filename="x"; filename*=UTF-8''y`)}\r\n\r\n1`)],
    ['a name behind the file name', form('Content-Disposition: form-data; filename="x"; name="a"\r\n\r\n1')],
    ['a transfer encoding', form(`${head('a')}\r\nContent-Transfer-Encoding: base64\r\n\r\nMQ==`)],
    ['a field twice', form(`${head('a')}\r\n${head('b')}\r\n\r\n1`)],
    ['a folded line', form(`Content-Disposition: form-data;\r\n name="a"\r\n\r\n1`)],
    ['another character set', form(`${head('a')}\r\nContent-Type: text/plain; charset=utf-16\r\n\r\n1`)],
    ['two boundaries', form(one), 'multipart/form-data; boundary=b1; boundary=b2'],
    ['a character set of the form', form(one), 'multipart/form-data; charset=utf-7; boundary=b1'],
    ['a boundary that has to be quoted', form(one), 'multipart/form-data; boundary="b 1"'],
  ])('%s', (_what, body, ...[value]) => {
    expect(() => read(body, value)).toThrow(RequestRefusal);
  });

  test('text that is none, and more parts than are looked at', () => {
    const bytes = Buffer.concat([
      Buffer.from(`--b1\r\n${head('a')}\r\n\r\n`),
      Buffer.of(0xff),
      Buffer.from('\r\n--b1--'),
    ]);
    expect(() => read(bytes)).toThrow(/no UTF-8/);
    const many = Array.from({ length: 201 }, (_, at) => `${head(`a${String(at)}`)}\r\n\r\n`);
    expect(() => read(form(...many))).toThrow(/more than 200 parts/);
  });
});
