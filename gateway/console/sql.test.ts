import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { pieces } from './page/sql.js';

const kinds = (statement: string) =>
  pieces(statement)
    .filter(({ text }) => text.trim() !== '')
    .map(({ kind, text }) => `${kind}:${text.trim()}`);

describe('the pieces of a statement', () => {
  test('put together are the statement, whatever it is', () => {
    const sqlish = fc.array(
      fc.constantFrom(
        "'",
        '"',
        '$$',
        '$a$',
        '--',
        '\n',
        '/*',
        '*/',
        "E'",
        '\\',
        'delete',
        ' ',
        '$1',
        '1e',
        'é',
        '\u202e',
        '<b>',
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          sqlish.map((parts) => parts.join('')),
        ),
        (statement) => {
          expect(
            pieces(statement)
              .map(({ text }) => text)
              .join(''),
          ).toBe(statement);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('are told apart, and what takes away stands out', () => {
    expect(kinds(`DELETE FROM "Order" o WHERE id = $1 AND n > 1.5 -- drop`)).toEqual([
      'strong:DELETE',
      'keyword:FROM',
      'name:"Order"',
      'plain:o',
      'keyword:WHERE',
      'plain:id',
      'plain:=',
      'parameter:$1',
      'keyword:AND',
      'plain:n',
      'plain:>',
      'number:1.5',
      'comment:-- drop',
    ]);
  });

  test.each([
    ["'it''s drop'", 'string'],
    ["E'a\\'drop'", 'string'],
    ['$$ drop $$', 'string'],
    ['$tag$ $$ drop $tag$', 'string'],
    ['/* drop */', 'comment'],
    ['"drop ""x"""', 'name'],
    ["'never ends drop", 'string'],
  ])('%s is one piece', (statement, kind) => {
    expect(kinds(statement)).toEqual([`${kind}:${statement}`]);
  });
});
