import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createHash } from 'node:crypto';
import {
  erase,
  expectedHash,
  genesis,
  Part,
  reseal,
  seal,
  sealed_bytes_max,
  unseal,
  type SealedLine,
} from './chain.js';

function sealed(head: string, personal: Record<string, unknown>, previous = genesis): string {
  const parts = Object.entries(personal).map(([name, value]) => new Part(name, JSON.stringify(value)));
  const buffer = Buffer.alloc(sealed_bytes_max({ head, parts }) + 5);
  return buffer.toString('utf8', 5, seal(buffer, 5, { head, parts }, previous).end);
}

function opened(line: string): SealedLine {
  const found = unseal(Buffer.from(line.trimEnd()));
  if (found === undefined) throw new Error(`no line of a chain: ${line}`);
  return found;
}

const sha = (text: string) => createHash('sha256').update(text).digest('base64url');
const personal = fc.dictionary(
  fc.string({ maxLength: 12 }).filter((name) => name !== '__proto__'),
  fc.jsonValue(),
  { maxKeys: 5 },
);
const heads = fc
  .dictionary(fc.constantFrom('salt', 'personal', 'a', 'chain'), fc.jsonValue())
  .map((fields) => JSON.stringify({ version: 1, fields }).slice(0, -1));

describe('a sealed line', () => {
  test('is hashed as the documentation says', () => {
    const line = sealed('{"version":1,"kind":"intent"', { principal: { subject: 'ada' }, operation: 'select "é"' });
    const record = JSON.parse(line) as { salt: string; personal: Record<string, unknown>; chain: { hash: string } };
    const commitments = Object.entries(record.personal).map(([name, value], index) => [
      name,
      sha(`${record.salt.slice(index * 22, index * 22 + 22)}"${name}":${JSON.stringify(value)}`),
    ]);
    const what = {
      version: 1,
      kind: 'intent',
      personal: Object.fromEntries(commitments) as unknown,
      chain: { previous: genesis },
    };
    expect(record.chain).toEqual({ previous: genesis, hash: sha(JSON.stringify(what)) });
  });

  test('is one JSON object with what was put in, and verifies', () => {
    fc.assert(
      fc.property(heads, personal, (head, values) => {
        const line = sealed(head, values);
        const record = JSON.parse(line) as Record<string, unknown>;
        const names = Object.keys(values);
        expect(record['personal']).toEqual(names.length === 0 ? undefined : JSON.parse(JSON.stringify(values)));
        const found = opened(line);
        expect(expectedHash(found)).toBe(found.hash);
        expect(found.members.map(({ name }) => JSON.parse(name.slice(0, -1)) as string)).toEqual(names);
      }),
    );
  });

  test('differs in its hash, or cannot be read, wherever one byte of it is another', () => {
    const line = Buffer.from(
      sealed('{"version":1,"kind":"intent","hash":"x"', {
        principal: { subject: 'ada' },
        operation: [1, 'a"b'],
      }).trimEnd(),
    );
    for (let at = 0; at < line.length; at += 1) {
      const changed = Buffer.from(line);
      changed[at] = changed[at]! ^ 1;
      const found = unseal(changed);
      if (found !== undefined) expect([at, expectedHash(found)]).not.toEqual([at, found.hash]);
    }
  });

  test('keeps its hash when personal values are erased from it, in any order', () => {
    fc.assert(
      fc.property(heads, personal, fc.infiniteStream(fc.nat(9)), (head, values, picks) => {
        let line = opened(sealed(head, values));
        const { hash } = line;
        const left = Object.keys(values);
        while (left.length > 0) {
          const [name] = left.splice(picks.next().value % left.length, 1);
          const bytes = erase(line, (other) => other === name);
          line = opened((bytes ?? Buffer.alloc(0)).toString());
          expect(expectedHash(line)).toBe(hash);
          const record = JSON.parse(line.bytes.toString()) as { personal: Record<string, unknown> };
          expect(record.personal[name!]).toEqual({ erased: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/u) });
          expect(Object.keys(record.personal)).toEqual(Object.keys(JSON.parse(JSON.stringify(values)) as object));
        }
        expect(erase(line, () => true)).toBeUndefined();
      }),
    );
  });

  test('does not tell what was erased by its salt', () => {
    const line = opened(sealed('{"version":1', { principal: 'ada', operation: 'select' }));
    const record = JSON.parse((erase(line, (name) => name === 'principal') as Buffer).toString()) as { salt: string };
    expect(record.salt).toBe('.'.repeat(22) + line.members[1]!.salt);
  });

  test('is sealed anew behind another', () => {
    const first = sealed('{"version":1,"n":1', { principal: 'ada' });
    const again = reseal(Buffer.from(first), sha('other'));
    const line = opened(again.content.toString());
    expect([line.previous, line.hash, expectedHash(line)]).toEqual([sha('other'), again.hash, again.hash]);
    expect(again.content.toString().slice(0, -120)).toBe(first.slice(0, -120));
  });

  test('is not one where salts, members and end do not fit together', () => {
    const line = sealed('{"version":1', { principal: 'ada', operation: 'select' }).trimEnd();
    const spoiled = [
      line.slice(0, -1),
      `${line} `,
      line.replace('"salt":"', '"salt":"AAAA'),
      line.replace('"ada"', '"ada",'),
      line.replace('"ada"', ''),
      line.replace(/"hash":"./u, '"hash":"!'),
    ];
    for (const text of spoiled) {
      const found = unseal(Buffer.from(text));
      expect([text, found !== undefined && expectedHash(found) === found.hash]).toEqual([text, false]);
    }
  });
});
