import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Concealing, Sought } from './sought.js';
import { secretsOf } from './spellings.js';

const secret = 'hv"s.C+a&n=a/r\'y <8>';
const base64 = (text: string) => Buffer.from(text).toString('base64');
const soughtOf = (...secrets: string[]) => Sought.of(secrets)!;

describe('a secret is concealed', () => {
  test.each([
    ['as it is', secret],
    ['in a URL', encodeURIComponent(secret)],
    ['in a URL with small digits', encodeURIComponent(secret).replace(/%../g, (one) => one.toLowerCase())],
    ['in a form', new URLSearchParams([['a', secret]]).toString()],
    ['in JSON', JSON.stringify({ a: [secret] })],
    ['in JSON as PHP writes it', JSON.stringify(secret).replaceAll('/', '\\/')],
    ['in JSON as Go writes it', '"hv\\"s.C+a\\u0026n=a/r\'y \\u003c8\\u003e"'],
    ['in JSON as .NET writes it', '"hv\\u0022s.C\\u002Ba\\u0026n=a/r\\u0027y \\u003C8\\u003E"'],
    ['in HTML', 'hv&quot;s.C+a&amp;n=a/r&#39;y &lt;8&gt;'],
    ['in HTML as Python writes it', 'hv&quot;s.C+a&amp;n=a/r&#x27;y &lt;8&gt;'],
    ['in HTML as Go writes it', 'hv&#34;s.C&#43;a&amp;n=a/r&#39;y &lt;8&gt;'],
    ['in JSON as Gson writes it', '"hv\\"s.C+a\\u0026n\\u003da/r\\u0027y \\u003c8\\u003e"'],
    ['in JSON as PHP writes it for HTML', '"hv\\u0022s.C+a\\u0026n=a\\/r\\u0027y \\u003C8\\u003E"'],
    ['in a script as Go writes it', '"hv\\u0022s.C\\u002ba\\u0026n=a\\/r\\u0027y \\u003c8\\u003e"'],
    ['in a script as Django writes it', "'hv\\u0022s.C+a\\u0026n\\u003Da/r\\u0027y \\u003C8\\u003E'"],
    ['as Python writes texts', `'hv"s.C+a&n=a/r\\'y <8>'`],
    ['in HTML as ASP.NET writes it', 'hv&quot;s.C&#x2B;a&amp;n=a/r&#x27;y &lt;8&gt;'],
    ['in an attribute without quotes', 'hv&#34;s.C&#43;a&amp;n&#61;a/r&#39;y&#32;&lt;8&gt;'],
    ['in XML', `hv"s.C+a&amp;n=a/r'y &lt;8&gt;`],
    ['in an attribute of XML', 'hv&quot;s.C+a&amp;n=a/r&apos;y &lt;8&gt;'],
    ['in a URL as Python quotes it', 'hv%22s.C%2Ba%26n%3Da/r%27y%20%3C8%3E'],
    ['in a query as Python and Go write it', 'hv%22s.C%2Ba%26n%3Da%2Fr%27y+%3C8%3E'],
    ['in a path as Go writes it', 'hv%22s.C+a&n=a/r%27y%20%3C8%3E'],
    ['in a segment of a path as Go writes it', 'hv%22s.C+a&n=a%2Fr%27y%20%3C8%3E'],
    ['in a URL as PHP and .NET write it', 'hv%22s.C%2Ba%26n%3Da%2Fr%27y%20%3C8%3E'],
    ['in a form as .NET writes it', 'hv%22s.C%2ba%26n%3da%2fr%27y+%3c8%3e'],
    ['as browsers correct it in a URL', new URL(`http://a/?${secret}`).search],
    ['as encodeURI has it', encodeURI(secret)],
    ['in base64', base64(secret)],
    ['in base64 for URLs', Buffer.from(secret).toString('base64url')],
    ['in base64 behind a letter', base64(`a${secret}`)],
    ['in base64 behind two, before others', base64(`ab${secret}cd`)],
  ])('%s', (_how, text) => {
    const bytes = Buffer.from(`<p>${text}</p> and once more ${text}`);
    const { length } = bytes;
    const concealed = soughtOf(secret).concealed(bytes.toString());
    expect(concealed).toHaveLength(length);
    expect(concealed.match(/\*{16,}/g)).toHaveLength(2);
    // The last letter of base64 may have bits of it.
    const rest = concealed.replace(/\*+/g, '');
    for (const part of ['C+a', 'C%2', 'Canar', base64(secret).slice(8, 14)]) expect(rest).not.toContain(part);
  });

  test('with letters beyond ASCII, as they are and as Python writes them in JSON', () => {
    const sought = soughtOf('pässwörter');
    expect(sought.concealed('{"a":"pässwörter","b":"p\\u00e4ssw\\u00f6rter"}')).toBe(
      `{"a":"${'*'.repeat(12)}","b":"${'*'.repeat(20)}"}`,
    );
  });

  // What each of them does with characters that the secret above has not.
  test.each([
    ['a URL as Python quotes it', 'p%28a%29s%2As%21w~%5Co-rd/%60', 'p(a)s*s!w~\\o-rd/`'],
    ['a form of browsers', 'p%28a%29s*s%21w%7E%5Co-rd%2F%60', 'p(a)s*s!w~\\o-rd/`'],
    ['a form of .NET', 'p(a)s*s!w%7e%5co-rd%2f%60', 'p(a)s*s!w~\\o-rd/`'],
    ['JSON of .NET', 'p(a)s*s!w~\\\\o-rd/\\u0060', 'p(a)s*s!w~\\o-rd/`'],
    ['a script of Django', 'p(a)s*s!w~\\u005Co\\u002Drd/\\u0060', 'p(a)s*s!w~\\o-rd/`'],
    ['HTML of ASP.NET', 'p(a)s*s!w~\\o-rd/&#x60;', 'p(a)s*s!w~\\o-rd/`'],
    ['JSON of Python, beyond ASCII', 'p\\u00e4ssw\\ud83d\\udd11rd', 'pässw🔑rd'],
    ['a URL, beyond ASCII', 'p%C3%A4ssw%F0%9F%94%91rd', 'pässw🔑rd'],
  ])('in %s', (_how, text, other) => {
    expect(soughtOf(other).concealed(`<${text}>`)).toBe(`<${'*'.repeat(Buffer.byteLength(text))}>`);
  });

  test('of Basic the password, and both together', () => {
    const sought = soughtOf(...secretsOf(`Basic ${base64('gateway:a-long-password')}`));
    expect(sought.concealed(`Basic ${base64('gateway:a-long-password')} a-long-password gateway`)).toBe(
      `Basic ${'*'.repeat(31)}= *************** gateway`,
    );
    expect(sought.concealed(base64('other:a-long-password'))).toMatch(/^b3RoZXI6\*+/);
  });

  test.each([
    ['Bearer abcdefgh.ijkl', 'abcdefgh.ijkl'],
    ['Token token="abcdefgh-ijklmnop", nonce="n"', 'abcdefgh-ijklmnop'],
    ['abcdefgh-key', 'abcdefgh-key'],
  ])('of %s what is behind the word for it', (field, part) => {
    expect(soughtOf(...secretsOf(field)).concealed(`{"a":"${part}"}`)).toBe(`{"a":"${'*'.repeat(part.length)}"}`);
  });
});

test('what has fewer than eight letters is not looked for', () => {
  expect(Sought.of(['short', ''])).toBeUndefined();
  expect(Sought.of(['just-so8'])).toBeDefined();
});

test('of two that begin at one place all of the longer goes', () => {
  expect(soughtOf('abcdefgh', 'abcdefghijkl').concealed('-abcdefghijkl-abcdefghi-')).toBe('-************-********i-');
});

describe('in pieces', () => {
  const sought = soughtOf('s3cr3t-t0ken', 'another/secret+');
  const letters = fc.constantFrom(...'s3cr-t0ken/+ aothe*');
  const texts = fc.array(
    fc.oneof(
      fc.string({ unit: letters, maxLength: 8 }),
      fc.constantFrom('s3cr3t-t0ken', 'another/secret+', 's3cr3t-t'),
    ),
    { maxLength: 12 },
  );

  test('of any size it is concealed as in one', () => {
    fc.assert(
      fc.property(texts, fc.array(fc.integer({ min: 0, max: 20 })), (parts, sizes) => {
        const all = Buffer.from(parts.join(''));
        const concealing = new Concealing(sought, () => undefined);
        const out: Buffer[] = [];
        let at = 0;
        for (const size of sizes) {
          out.push(concealing.push(Buffer.from(all.subarray(at, at + size))));
          at += size;
        }
        out.push(concealing.push(Buffer.from(all.subarray(at))), concealing.finish());
        expect(Buffer.concat(out).toString()).toBe(sought.concealed(all.toString()));
      }),
      { numRuns: 2_000 },
    );
  });

  test('a byte at a time, each goes on as soon as it is none', () => {
    let found = 0;
    const concealing = new Concealing(sought, () => found++);
    const said = [...'!s3cr3t-s3cr3t-t0ken.'].map((one) => concealing.push(Buffer.from(one)).toString());
    expect(said).toEqual([
      '!',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      's3cr3t-',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      '',
      '*'.repeat(12),
      '.',
    ]);
    expect(found).toBe(1);
  });

  test('without one in it each is passed on as it is: the same bytes, not a copy', () => {
    const concealing = new Concealing(sought, () => undefined);
    for (const text of ['{"a":1}', 'the secret is another.', ' ', '']) {
      const piece = Buffer.from(text);
      expect(concealing.push(piece)).toBe(piece);
      expect(piece.toString()).toBe(text);
    }
  });
});
