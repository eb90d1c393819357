/**
 * What people do with SSH, as scripts for bash. Each is run twice, in the same place: straight to a host, and through the
 * gateway to that host. Both have to come to the same output, errors, exit code and files.
 *
 * $F is the client's configuration, in which `h` is the host; $L a folder of the client's, $R one of the host's; $P a free
 * port for forwardings, $E the port of a server that sends back what it gets.
 */
export interface Behaviour {
  readonly name: string;
  readonly run: string;
}

const table = (rows: readonly (readonly [string, string])[]): readonly Behaviour[] =>
  rows.map(([name, run]) => ({ name, run }));

export const commands = table([
  ['output', 'ssh -F $F h echo hello'],
  ['standard error stays apart', 'ssh -F $F h "echo out; echo err >&2" 2>$L/err; echo "[$(cat $L/err)]"'],
  ['standard error without output', 'ssh -F $F h "echo only err >&2" 2>&1 >/dev/null'],
  ['exit code 0', 'ssh -F $F h true; echo $?'],
  ['exit code 1', 'ssh -F $F h false; echo $?'],
  ['exit code 42', 'ssh -F $F h "exit 42"; echo $?'],
  ['exit code of what is not there', 'ssh -F $F h /nonexistent/program 2>/dev/null; echo $?'],
  ['a signal ends it', `ssh -F $F h 'kill -KILL $$'; echo $?`],
  ['another signal ends it', `ssh -F $F h 'kill -SEGV $$'; echo $?`],
  ['input', 'echo in | ssh -F $F h cat'],
  ['no input', 'ssh -n -F $F h cat; echo $?'],
  ['bytes of every kind go there', 'head -c 300000 $L/random | ssh -F $F h sha256sum'],
  ['bytes of every kind come back', 'ssh -F $F h cat $L/random | sha256sum'],
  ['bytes in both directions at once', 'ssh -F $F h cat < $L/random | sha256sum'],
  ['the end of input is told', 'printf "b\\na\\n" | ssh -F $F h sort'],
  ['input that is not read', 'head -c 3000000 /dev/zero | ssh -F $F h true; echo $?'],
  ['output that is not read', 'ssh -F $F h "head -c 3000000 /dev/zero" | head -c 10 | od -c'],
  ['output after the input has ended', 'echo x | ssh -F $F h "cat; echo more"'],
  ['quotes and blanks', `ssh -F $F h "printf '%s|' 'a  b' \\"c'd\\" '*' '\\$HOME'"`],
  ['patterns are the host shell’s', 'ssh -F $F h "cd $R && touch a1 a2 && echo a*"'],
  ['variables are the host shell’s', `ssh -F $F h 'x=5; echo $((x*2))'`],
  ['several lines', `ssh -F $F h 'for i in 1 2 3\ndo echo $i\ndone'`],
  ['names that are not ASCII', `ssh -F $F h "echo grün > '$R/ü'; cat '$R/ü'"; ls $R`],
  ['a long command line', 'ssh -F $F h "echo $(head -c 30000 /dev/zero | tr "\\\\0" x) | wc -c"'],
  ['much output', 'ssh -F $F h "seq 1 200000" | sha256sum'],
  ['much on standard error', 'ssh -F $F h "seq 1 20000 >&2" 2>&1 | sha256sum'],
  [
    'much of both at once, apart',
    'ssh -F $F h "seq 1 100000 & seq 200000 300000 >&2; wait" 2>$L/err | sha256sum; sha256sum < $L/err',
  ],
  ['variables that are let through', "LC_TEST=de ssh -F $F -o SendEnv=LC_TEST h 'echo $LC_TEST'"],
  ['a background process that lets go', 'ssh -F $F h "sleep 60 >/dev/null 2>&1 </dev/null & echo started; kill \\$!"'],
  ['a hundred megabytes come back', 'ssh -F $F h "head -c 100000000 /dev/zero" | sha256sum'],
  ['a hundred megabytes go there', 'head -c 100000000 /dev/zero | ssh -F $F h sha256sum'],
  ['a shell without a terminal', 'printf "echo in a shell\\nexit 5\\n" | ssh -F $F -T h; echo $?'],
]);

export const terminals = table([
  ['a terminal is one', 'ssh -tt -F $F h "test -t 0 && test -t 1 && echo yes" </dev/null'],
  ['without one there is none', 'ssh -T -F $F h "test -t 1 || echo no"'],
  ['its name', `TERM=vt100 ssh -tt -F $F h 'echo $TERM' </dev/null`],
  ['its size', 'python3 $L/terminal.py 33 101 ssh -tt -F $F h "stty size"'],
  ['its new size', 'python3 $L/terminal.py --resize 44 102 ssh -tt -F $F h "$L/resized.sh"'],
  ['standard error is within it', 'ssh -tt -F $F h "echo e >&2" </dev/null 2>/dev/null'],
  ['exit codes', 'ssh -tt -F $F h "exit 9" </dev/null; echo $?'],
  [
    'a command ends when its client dies',
    `mkfifo $L/in; ssh -tt -F $F h 'echo $$ > '$R'/pid; exec sleep 600' <>$L/in >/dev/null 2>&1 & until [ -s $R/pid ]; do sleep 0.1; done; kill -KILL $!; while kill -0 $(cat $R/pid); do sleep 0.1; done 2>/dev/null; echo ended`,
  ],
  ['what is typed, and Ctrl-C', 'python3 $L/terminal.py --interrupt 24 80 ssh -tt -F $F h "$L/interrupted.sh"'],
]);

export const files = table([
  ['scp there', 'scp -q -F $F $L/random h:$R/r && cmp $L/random $R/r && echo same'],
  ['scp back', 'scp -q -F $F h:$L/random $L/back && cmp $L/random $L/back && echo same'],
  ['scp of old there', 'scp -q -O -F $F $L/random h:$R/r && cmp $L/random $R/r && echo same'],
  ['scp of old back', 'scp -q -O -F $F h:$L/random $L/back && cmp $L/random $L/back && echo same'],
  ['scp of a folder', 'scp -q -r -F $F $L/tree h:$R/ && diff -r $L/tree $R/tree && echo same'],
  ['scp of old of a folder', 'scp -q -O -r -F $F $L/tree h:$R/ && diff -r $L/tree $R/tree && echo same'],
  ['scp keeps times and rights', 'scp -q -p -F $F $L/tree/run h:$R/ && stat -c "%a %Y" $R/run'],
  ['scp of what is not there', 'scp -q -F $F h:/nonexistent $L/ 2>&1; echo $?'],
  ['scp of old of what is not there', 'scp -q -O -F $F h:/nonexistent $L/ 2>&1; echo $?'],
  ['scp of a pattern', 'scp -q -F $F "h:$L/tree/*.txt" $R/ && ls $R'],
  ['a name with blanks', 'scp -q -F $F "$L/a b" "h:$R/c d" && ls $R'],
  ['an empty file', 'scp -q -F $F $L/empty h:$R/e && stat -c %s $R/e'],
  [
    'sftp there and back',
    'printf "put $L/random $R/r\\nget $R/r $L/back\\n" | sftp -q -oBatchMode=no -b - -F $F h >/dev/null && cmp $L/random $L/back && echo same',
  ],
  ['sftp lists', 'printf "ls -1 $L/tree\\n" | sftp -q -oBatchMode=no -b - -F $F h'],
  [
    'sftp renames and removes',
    'touch $R/a $R/b; printf "rename $R/a $R/c\\nrm $R/b\\n" | sftp -q -oBatchMode=no -b - -F $F h >/dev/null; ls $R',
  ],
  [
    'sftp makes and removes folders',
    'printf "mkdir $R/d\\nmkdir $R/e\\nrmdir $R/d\\n" | sftp -q -oBatchMode=no -b - -F $F h >/dev/null; ls $R',
  ],
  [
    'sftp changes rights',
    'touch $R/a; printf "chmod 640 $R/a\\n" | sftp -q -oBatchMode=no -b - -F $F h >/dev/null; stat -c %a $R/a',
  ],
  [
    'sftp links',
    'touch $R/a; printf "ln -s $R/a $R/l\\nln $R/a $R/m\\n" | sftp -q -oBatchMode=no -b - -F $F h >/dev/null; readlink $R/l; stat -c %h $R/a',
  ],
  [
    'sftp goes on where it stopped',
    'head -c 1000 $L/random > $L/back; printf "reget $L/random $L/back\\n" | sftp -q -oBatchMode=no -b - -F $F h >/dev/null; cmp $L/random $L/back && echo same',
  ],
  ['sftp says what is not there', 'printf "get /nonexistent\\n" | sftp -q -oBatchMode=no -b - -F $F h 2>&1; echo $?'],
  ['sftp asks for free space', 'printf "df $R\\n" | sftp -q -oBatchMode=no -b - -F $F h | head -1'],
  [
    'sftp of big buffers',
    'printf "put $L/random $R/r\\n" | sftp -q -oBatchMode=no -B 200000 -R 128 -b - -F $F h >/dev/null; cmp $L/random $R/r && echo same',
  ],
  [
    'tar through a pipe',
    'tar -C $L -cf - tree | ssh -F $F h "tar -C $R -xf -" && diff -r $L/tree $R/tree && echo same',
  ],
  [
    'a subsystem by its name',
    '(printf "\\0\\0\\0\\5\\1\\0\\0\\0\\3"; sleep 3) | ssh -F $F -s h sftp | head -c 9 | od -An -tx1 | cut -c13-',
  ],
  [
    'a subsystem by its program’s path',
    'printf "ls -1 $L/tree\\n" | sftp -q -oBatchMode=no -s "$(ls /usr/lib/openssh/sftp-server /usr/libexec/openssh/sftp-server 2>/dev/null)" -b - -F $F h',
  ],
]);

export const forwardings = table([
  ['local', 'python3 $L/forward.py $P $E ssh -F $F -N -L 127.0.0.1:$P:127.0.0.1:$E h'],
  ['remote', 'python3 $L/forward.py $P $E ssh -F $F -N -R 127.0.0.1:$P:127.0.0.1:$E h'],
  ['dynamic', 'python3 $L/forward.py --socks $P $E ssh -F $F -N -D 127.0.0.1:$P h'],
  ['of standard input', 'echo there and back | ssh -F $F -W 127.0.0.1:$E h'],
  ['to nobody', 'ssh -F $F -W 127.0.0.1:1 h 2>/dev/null </dev/null; echo $?'],
  ['to a socket', 'python3 $L/forward.py $P $L/echo.sock ssh -F $F -N -L 127.0.0.1:$P:$L/echo.sock h'],
  ['from a socket', 'python3 $L/forward.py $R/s.sock $E ssh -F $F -N -R $R/s.sock:127.0.0.1:$E h'],
  ['from a socket to a socket', 'python3 $L/forward.py $L/l.sock - ssh -F $F -N -L $L/l.sock:$L/echo.sock h'],
  ['back from a socket to a socket', 'python3 $L/forward.py $R/s.sock - ssh -F $F -N -R $R/s.sock:$L/echo.sock h'],
  [
    'a remote port that is chosen by the host',
    'ssh -F $F -R 0:127.0.0.1:$E h true 2>&1 | sed "s/port [0-9]*/port N/" | grep -c Allocated',
  ],
]);

export const multiplexing = table([
  [
    'one connection for several commands',
    'ssh -F $F -o ControlPath=$L/m -M -N -f h; for i in 1 2 3; do ssh -F $F -o ControlPath=$L/m h echo $i; done; ssh -F $F -o ControlPath=$L/m -O exit h 2>/dev/null',
  ],
  [
    'many at once',
    'ssh -F $F -o ControlPath=$L/m -M -N -f h; for i in 1 2 3 4 5 6 7 8; do ssh -F $F -o ControlPath=$L/m h echo $i > $L/o$i & done; wait; cat $L/o?; ssh -F $F -o ControlPath=$L/m -O exit h 2>/dev/null',
  ],
  [
    'forty at once',
    'ssh -F $F -o ControlPath=$L/m -M -N -f h; for i in $(seq 40); do ssh -F $F -o ControlPath=$L/m h echo $i > $L/o$i & done; wait; cat $L/o? $L/o??; ssh -F $F -o ControlPath=$L/m -O exit h 2>/dev/null',
  ],
  [
    'a forwarding that is added',
    'ssh -F $F -o ControlPath=$L/m -M -N -f h; ssh -F $F -o ControlPath=$L/m -O forward -L 127.0.0.1:$P:127.0.0.1:$E h && python3 $L/forward.py $P $E; ssh -F $F -o ControlPath=$L/m -O exit h 2>/dev/null',
  ],
  [
    'sftp beside commands',
    'ssh -F $F -o ControlPath=$L/m -M -N -f h; scp -q -F $F -o ControlPath=$L/m $L/random h:$R/r; cmp $L/random $R/r && echo same; ssh -F $F -o ControlPath=$L/m -O exit h 2>/dev/null',
  ],
  ['new keys in the middle', 'ssh -F $F -o RekeyLimit=1M h "head -c 8000000 /dev/zero" | sha256sum'],
]);

export const git = table([
  ['git clones', 'git clone -q h:$L/repository.git $R/c && cat $R/c/file'],
  [
    'git pushes',
    'git clone -q h:$L/repository.git $R/c && cd $R/c && git commit -q --allow-empty -m more && git push -q 2>/dev/null && git --git-dir $L/repository.git log --format=%s',
  ],
  ['git fetches', 'git clone -q h:$L/repository.git $R/c && git -C $R/c fetch h:$L/repository.git main 2>&1 | tail -1'],
  ['git archives', 'git archive --remote=h:$L/repository.git main | tar -tf -'],
]);

export const rsync = table([
  ['rsync there', 'rsync -a -e "ssh -F $F" $L/tree/ h:$R/t && diff -r $L/tree $R/t && echo same'],
  ['rsync back', 'rsync -a -e "ssh -F $F" h:$L/tree/ $R/t && diff -r $L/tree $R/t && echo same'],
  ['rsync removes and lists', 'mkdir $R/t; touch $R/t/old; rsync -ai --delete -e "ssh -F $F" $L/tree/ h:$R/t | sort'],
  ['rsync of a big file', 'rsync -a -z -e "ssh -F $F" $L/random h:$R/r && cmp $L/random $R/r && echo same'],
]);

/** With an agent of their own that has one key. */
const withAgent = (run: string) =>
  `eval "$(ssh-agent -s)" > /dev/null; trap 'ssh-agent -k > /dev/null' EXIT; ssh-add -q "\${F%/*}/identity"; ${run}`;

export const agents: readonly Behaviour[] = [
  { name: 'ssh -A shows the keys', run: withAgent('ssh -F $F -A h ssh-add -L') },
  {
    name: 'ssh -A signs on the host',
    run: withAgent(
      'ssh-add -L > $R/key.pub; ssh -F $F -A h "echo signed | ssh-keygen -q -Y sign -n test -f $R/key.pub 2>/dev/null"',
    ),
  },
  { name: 'ssh -A in a terminal', run: withAgent('ssh -F $F -A -tt h ssh-add -L < /dev/null') },
  { name: 'ssh -A with what is typed', run: withAgent('ssh -F $F -A h cat < $L/tree/one.txt') },
  {
    name: 'ssh without -A',
    run: withAgent("ssh -F $F h 'ssh-add -l 2>&1; printenv SSH_AUTH_SOCK || echo none'"),
  },
];
