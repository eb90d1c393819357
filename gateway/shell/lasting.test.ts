/* eslint-disable no-template-curly-in-string -- ${NAME} is what the lines of a shell say */
import { describe, expect, test } from '@jest/globals';
import { continuationOf, filledIn, lastingOf } from './index.js';

/** What one line of a session means for the next. */

describe('a line', () => {
  test.each([
    ["echo 'one", 'open'],
    ['echo "one', 'open'],
    ['echo $(ls', 'open'],
    ['echo `ls', 'open'],
    ['if true', 'open'],
    ['if true; then', 'open'],
    ['for f in a b; do', 'open'],
    ['while read l', 'open'],
    ['case a in', 'open'],
    ['{ ls', 'open'],
    ['( ls', 'open'],
    ['f() {', 'open'],
    ['ls |', 'open'],
    ['ls &&', 'open'],
    ['ls ||', 'open'],
    ['cat <<EOF', 'open'],
    ['cat <<EOF\nrm -rf /\nEO', 'open'],
    ['cat <<A <<B\na\nA\nb', 'open'],
    ["cat <<'E' \\", 'open'],
    ["cat <<'E'\nx\\", 'open'],
    ["echo 'a\\", 'open'],
    ["echo $'a\\", 'open'],
    ['ls \\', 'joined'],
    ['echo "a\\', 'joined'],
    ['ls \\\\\\', 'joined'],
    ['ls \\\\', 'none'],
    ['ls', 'none'],
    ['', 'none'],
    ['ls )', 'none'],
    ['fi', 'none'],
    ['ls; ;', 'none'],
    ['if true; then ls; fi', 'none'],
    ['cat <<EOF\nEOF', 'none'],
    ['cat <<-EOF\nx\n\t\tEOF', 'none'],
    ["echo 'a\nb'", 'none'],
    ['ls # it\'s "', 'none'],
  ])('%j goes on: %s', (text, how) => {
    expect(continuationOf(text)).toBe(how);
  });

  test.each([
    ['cd', { kind: 'cd', folder: '~', rest: undefined }],
    ['cd /srv', { kind: 'cd', folder: '/srv', rest: undefined }],
    ['cd "a b" && ls | wc -l', { kind: 'cd', folder: '"a b"', rest: 'ls | wc -l' }],
    ['export LANG=C TZ=Europe/Berlin', { kind: 'export', values: [['LANG', 'C'], ['TZ', 'Europe/Berlin']] }], // prettier-ignore
    ['unset LANG', { kind: 'unset', names: ['LANG'] }],
    ['umask 0027', { kind: 'umask', mask: '027' }],
    ['exit', { kind: 'exit', code: undefined }],
    ['exit 300', { kind: 'exit', code: 44 }],
    ['logout', { kind: 'exit', code: undefined }],
  ])('%j lasts', (text, lasting) => {
    expect(lastingOf(text)).toEqual(lasting);
  });

  test.each([
    ...['export PATH=/srv', 'export LD_PRELOAD=/srv/x.so', 'export BASH_ENV=x', 'export IFS=x', 'export LANG=$x'],
    ...[
      'export LC_ALL=/srv/locale',
      'export "LANG=C;rm"',
      'export -n LANG',
      'export LANG',
      'unset PATH',
      'unset -f ls',
    ],
    ...['umask u=rwx', 'umask 7777', 'exit 1 2', 'exit $x', 'export LANG=C$(ls)'],
  ])('%j is not kept, and that is said', (text) => {
    expect(lastingOf(text)).toMatchObject({ kind: 'refused' });
  });

  test.each([
    ...['ls', 'cd /srv; ls', 'cd /srv || ls', 'cd /srv && ls || ls', 'cd /srv &', 'cd /srv > x', 'LANG=C cd /srv'],
    ...['! cd /srv', 'cd -P /srv', 'cd a b', '( cd /srv )', 'ls && cd /srv', 'export LANG=C; ls', 'exit > x'],
    ...['cd /srv && ls; ls', 'cd /srv && ls\nls', 'cd /srv | ls', '\\cd /srv\ncd /etc', 'export', 'cd /srv && ls &'],
  ])('%j changes nothing that is kept', (text) => {
    expect(lastingOf(text)).toBeUndefined();
  });
});

describe('a variable that is known', () => {
  const values = new Map([
    ['?', '3'],
    ['PWD', '/srv/app'],
    ['LANG', 'C'],
    ['TZ', 'a b'],
    ['LC_ALL', '*'],
  ]);
  test.each([
    ['echo $?', 'echo 3'],
    ['echo "it was $?"', 'echo "it was 3"'],
    ['cat ${PWD}/x | grep $LANG', 'cat /srv/app/x | grep C'],
    ["echo '$?' \\$?", "echo '$?' \\$?"],
    ['echo $HOME ${PWD:-x} ${#PWD}', 'echo $HOME ${PWD:-x} ${#PWD}'],
    ['echo $TZ $LC_ALL', 'echo $TZ $LC_ALL'],
    ['false; echo $?', 'false; echo $?'],
    ['false && echo $?', 'false && echo $?'],
    ['LANG=de echo $LANG', 'LANG=de echo C'],
    ['echo $(echo $?)', 'echo $(echo $?)'],
    ['$PWD/run', '$PWD/run'],
  ])('%j becomes %j', (text, filled) => {
    expect(filledIn(text, values)).toBe(filled);
  });
});
