import { describe, expect, test } from '@jest/globals';
import { understandLine } from './index.js';

/** Words by which a program that is known to read writes, runs another, or reads what nobody would know of. */

const host = { terminal: false, folder: '~' } as const;

const opaque: readonly string[] = [
  // A second file is written, though the first is standard input.
  'echo x | uniq - ~/.bashrc',
  'echo x | xxd - out',
  "uniq '' out",
  'ptx -G - out',
  // They take names of files out of their input.
  'echo /etc/shadow | xzcat -f --files',
  'xzcat --files0=list',
  'wc --files0-from=-',
  'du --f=-',
  'sha256sum -c list',
  'cksum --check list',
  // Long options may be shortened.
  'diff3 --d=./x a b c',
  'journalctl -n0 --cursor-=/srv/x',
  'journalctl --cursor-file=/srv/x',
  'journalctl --up',
  'journalctl --roo=/srv',
  'journalctl --vacuum-time=1s',
  'journalctl -i /srv/x',
  // A terminal is any file; BSD's base64 writes.
  'tload /srv/x',
  'base64 -i a -o b',
  'base32 --output=b a',
  'nstat -d 5',
  // Variables of processes.
  'ps auxe',
  'ps axeopid,args',
  'ps -auxeww',
  'ps -ef u',
  'ps -ef -u axw',
  'ps -o pid,environ',
  'ps -C foo sess',
  'ps Umongo sess',
  'set',
  'docker inspect web',
  'docker top web auxe',
  'pgrep --env A=b',
  // Sources that an object names, whatever they are.
  'objdump -dS x',
  'objdump --source x',
  'readelf -wK x',
  "zgrep x 'a\nb'",
  'top -ubin',
];

const read: readonly (readonly [string, readonly string[]])[] = [
  ["grep '' /etc/shadow", ['/etc/shadow']],
  ['grep - /etc/shadow', ['/etc/shadow']],
  ["grep -- '' /etc/shadow", ['/etc/shadow']],
  ["zgrep -c '' /etc/shadow", ['/etc/shadow']],
  ["grep -r '' /etc", ['/etc/**']],
  ['grep -r x -m 1', ['~/**', '~/1/**']],
  ['grep -rn x /srv/app', ['/srv/app/**']],
  ['grep -rn -m 1 x /srv/app', ['/srv/app/**', '~/x/**']],
  ['diff -N ~ /var/empty', ['/var/empty/**', '~/**']],
  ['git blame -C notes', ['~/notes']],
];

const known: readonly string[] = [
  'ps -ef',
  'ps -e',
  'ps -eLf',
  'ps -eo pid,user,comm --sort=-rss',
  'ps -e -o pid,etime=',
  'ps axo pid,user,args',
  'ps --no-headers -o etime -p 1',
  'ps -ef ww',
  'journalctl -u nginx --since "1 hour ago" --no-pager -o json',
  'set -eu; ls',
  'sha256sum a b',
  'base64 -d a',
  'xzcat a.xz',
  'uniq -c a',
  'diff -u a b',
  'top -bn1',
  'objdump -d a',
];

describe('what a program does by its words', () => {
  test.each(opaque)('is not known of %j', (line) => {
    expect(understandLine(line, host).because).not.toEqual([]);
  });

  test.each(read)('is reading, of all that it reads: %j', (line, files) => {
    const { because, resources } = understandLine(line, host);
    expect(because).toEqual([]);
    expect(resources.filter(({ access }) => access === 'read').map(({ name }) => name).sort()).toEqual(files); // prettier-ignore
  });

  test.each(known)('is known of %j', (line) => {
    expect(understandLine(line, host).because).toEqual([]);
  });

  test('to a file is done to the one of its name in a folder as well, where the last may be one', () => {
    const changed = (line: string) =>
      understandLine(line, host).resources.flatMap(({ type, name, access }) =>
        type === 'file' ? [`${access} ${name}`] : [],
      );
    expect(changed('cp /srv/a/HEAD /srv/b')).toEqual(['read /srv/a/HEAD', 'update /srv/b', 'update /srv/b/HEAD']);
    expect(changed('ln -s /srv/a')).toEqual(['insert /srv/a', 'read /srv/a/**', 'insert ~/a']);
  });

  test('is more than execution where a unit is the machine itself', () => {
    const action = (line: string) => understandLine(line, host).action;
    expect(action('systemctl start reboot.target')).toBe('administer');
    expect(action('systemctl start systemd-poweroff')).toBe('administer');
    expect(action('systemctl start debug-shell')).toBe('administer');
    expect(action('systemctl restart nginx.service')).toBe('execute');
    expect(action('systemctl status multi-user.target')).toBe('read');
  });

  test('in a terminal is a pager, unless --no-pager is no value of another option', () => {
    const because = (line: string) => understandLine(line, { ...host, terminal: true }).because;
    for (const line of [
      'journalctl -u nginx -u --no-pager',
      'git -C --no-pager log',
      'systemctl status -p --no-pager x',
    ])
      expect(because(line)).toEqual([expect.stringContaining('starts a pager')]);
    for (const line of ['journalctl -u nginx --no-pager', 'git --no-pager log', 'systemctl --no-pager status x'])
      expect(because(line)).toEqual([]);
  });
});
