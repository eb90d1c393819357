import { describe, expect, test } from '@jest/globals';
import { compared } from './difference.js';

const text = (...lines: string[]) => lines.join('\n');

describe('what two runs of a script show', () => {
  test('is the same, or it says which lines are not', () => {
    const shown = text('select 1;', ' a ', '---', ' 1', '(1 row)', '', 'select 2;', ' b ');
    expect(compared('one', shown, shown)).toEqual({ name: 'one', lines: 8, withheld: 0, other: [] });
    expect(compared('one', shown, shown.replace(' 1\n', ' 7\n')).other).toEqual(['-  1', '+  7']);
    expect(compared('one', shown, shown.replace(' 1\n', '')).other).toEqual(['-  1']);
    expect(compared('one', shown.replace('---\n', ''), shown).other).toEqual(['+ ---']);
  });

  test('what is withheld is counted, and no other line with it', () => {
    const direct = text(
      'drop schema s cascade;',
      'psql:sql/a.sql:4: NOTICE:  drop cascades to 2 other objects',
      'DETAIL:  drop cascades to table s.one',
      'drop cascades to table s.two',
      'alter table t alter a type int;',
      'psql:sql/a.sql:5: ERROR:  invalid input syntax for type integer: "x"',
      'select 1;',
    );
    const gateway = text(
      'drop schema s cascade;',
      'psql:sql/a.sql:4: NOTICE:  drop cascades to 2 other objects',
      'alter table t alter a type int;',
      'psql:sql/a.sql:5: ERROR:  the statement met an error of SQLSTATE 22P02 (its message may hold values that are masked, and is withheld)',
      'select 1;',
    );
    expect(compared('two', direct, gateway)).toMatchObject({ withheld: 3, other: [] });
    expect(compared('two', direct, gateway.replace('select 1', 'select 2'))).toMatchObject({
      withheld: 3,
      other: ['- select 1;', '+ select 2;'],
    });
  });
});
