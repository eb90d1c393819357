import type { Access, Action } from '#engine';
import { oneBelow } from './nesting.js';

/**
 * What well-known programs do with their arguments. A program that is not here, or an option that is not known to be
 * harmless where options may do harm, makes the operation opaque: policy has to name what it trusts.
 *
 * A list of what is known is never complete, and needs not be. What it says has to be true of the GNU and BSD versions.
 */

export interface ProgramEffect {
  readonly action: Action;
  readonly files: readonly { readonly path: string; readonly access: Access }[];
  /** Other things it touches. */
  readonly others?: readonly { readonly type: string; readonly name: string; readonly access: Access }[];
  /** Why its effects are not known; absent where they are. */
  readonly because?: string;
}

/** What one invocation does. `terminal`: it would have a terminal, where pagers and editors give a shell away. */
export function effectOf(argv: readonly string[], terminal: boolean): ProgramEffect {
  const [path = '', ...args] = argv;
  const name = programName(path);
  if (name === undefined) return unknown(`${path} lies outside the system's own folders`);
  const reader = Object.hasOwn(programs, name) ? programs[name] : undefined;
  return reader === undefined ? unknown(`what ${name} does is not known`) : reader(args, terminal, name);
}

/** The name of a program of the system: `ls`, `/bin/ls`. Undefined for a path elsewhere. */
export function programName(path: string): string | undefined {
  if (!path.includes('/')) return path;
  return /^(?:\/usr(?:\/local)?)?\/s?bin\/([^/]+)$/u.exec(path)?.[1];
}

type Reader = (args: readonly string[], terminal: boolean, name: string) => ProgramEffect;
const unknown = (because: string): ProgramEffect => ({ action: 'execute', files: [], because });

/** Words that are no options, values of options among them: too many rather than too few. */
const operands = (args: readonly string[]): string[] => {
  const end = args.indexOf('--');
  const before = (end === -1 ? args : args.slice(0, end)).flatMap((arg) => {
    if (!arg.startsWith('-') || arg === '-') return [arg];
    const equals = arg.indexOf('=');
    if (arg.startsWith('--')) return equals > 0 ? [arg.slice(equals + 1)] : [];
    // "-f/etc/passwd": a value may stand right behind its option.
    const slash = arg.search(/[/~]/u);
    return slash > 1 ? [arg.slice(slash)] : [];
  });
  return [...before, ...(end === -1 ? [] : args.slice(end + 1))].filter((arg) => arg !== '-' && arg !== '');
};

const reads = (args: readonly string[]): ProgramEffect => ({
  action: 'read',
  files: operands(args).map((path) => ({ path, access: 'read' })),
});

/** Reads whatever it is told to, and nothing but. */
const pure: Reader = (args) => reads(args);
/** Names, sizes, times of files, and not what is in them. */
const lists: Reader = (args) => ({
  action: 'read',
  files: operands(args).map((path) => ({ path, access: 'use' })),
});
/** Gives back what it is told; its arguments name no files. */
const echoes: Reader = () => ({ action: 'read', files: [] });
/** Says something of the machine. Whatever looks like a path counts as read. */
const informs: Reader = (args) => ({
  action: 'read',
  files: operands(args)
    .filter((arg) => /[/~]/u.test(arg))
    .map((path) => ({ path, access: 'read' })),
});
/** Informs; every word without a hyphen is a file that it would read. */
const informsOf: Reader = (args) => reads(args);
/** Some shells calculate with what they are given, and run what stands in it. */
const calm =
  (reader: Reader): Reader =>
  (args, terminal, name) =>
    args.some((arg) => /[$`]/u.test(arg))
      ? unknown(`${name} may run what stands in its arguments`)
      : reader(args, terminal, name);
/** What is below a folder: "/srv/**". */
const below = (files: ProgramEffect['files']): ProgramEffect['files'] =>
  files.map((file) =>
    file.access === 'read' ? { ...file, path: `${file.path === '/' ? '' : file.path.replace(/\/+$/u, '')}/**` } : file,
  );
/** With such an option it goes through folders: everything below its operands is meant. */
const throughOperands =
  (recursive: RegExp, reader: Reader): Reader =>
  (args, terminal, name) => {
    const effect = reader(args, terminal, name);
    return args.some((arg) => recursive.test(arg)) ? { ...effect, files: below(effect.files) } : effect;
  };
/** Reads, unless an option does more. Long options may be shortened: the first letters are compared. */
const readsUnless =
  (...harmful: readonly RegExp[]): Reader =>
  (args, _terminal, name) => {
    const found = args.find((arg) => harmful.some((option) => option.test(arg)));
    return found === undefined ? reads(args) : unknown(`${name} ${found} does more than read`);
  };
/** Informs, unless an option does more. */
const informsUnless =
  (...harmful: readonly RegExp[]): Reader =>
  (args, terminal, name) => {
    const found = args.find((arg) => harmful.some((option) => option.test(arg)));
    return found === undefined ? informs(args, terminal, name) : unknown(`${name} ${found} does more than inform`);
  };
/** Informs with these options alone. */
const informsWith =
  (allowed: RegExp): Reader =>
  (args, _terminal, name) => {
    const other = args.find((arg) => !allowed.test(arg));
    return other === undefined ? { action: 'read', files: [] } : unknown(`${name} ${other} may do more than inform`);
  };

/** Changes files: these options, and the operands. */
const changes =
  (action: Action, access: Access, allowed: RegExp, first: Access = access): Reader =>
  (args, _terminal, name) => {
    const other = args.find((arg) => arg.startsWith('-') && arg !== '--' && !allowed.test(arg));
    if (other !== undefined) return unknown(`what ${name} ${other} does is not known`);
    const paths = operands(args);
    return { action, files: paths.map((path, index) => ({ path, access: index < paths.length - 1 ? first : access })) };
  };

/** A program whose first words are a verb. */
const verbs =
  (known: Readonly<Record<string, Action>>, type: string, before: RegExp, after: RegExp): Reader =>
  (args, _terminal, name) => {
    const at = args.findIndex((arg) => !before.test(arg));
    const verb = at === -1 ? '' : args[at]!;
    const action = Object.hasOwn(known, verb) ? known[verb] : undefined;
    if (action === undefined) return unknown(`what ${name} ${verb} does is not known`);
    const rest = args.slice(at + 1);
    const other = rest.find((arg) => arg.startsWith('-') && !after.test(arg));
    if (other !== undefined) return unknown(`what ${name} ${verb} ${other} does is not known`);
    const access: Access = action === 'read' ? 'read' : action === 'administer' ? 'administer' : 'execute';
    const names = rest.filter((arg) => !arg.startsWith('-'));
    return { action, files: [], others: names.map((each) => ({ type, name: each, access })) };
  };

/** Runs another program, which is what counts. */
const runs =
  (skip: (args: readonly string[]) => number | undefined, raise?: Action): Reader =>
  (args, terminal, name) => {
    const at = skip(args);
    if (at === undefined || at >= args.length) return unknown(`what ${name} would run is not known`);
    const inner = oneBelow(() => effectOf(args.slice(at), terminal)) ?? unknown('too many programs run one another');
    const ran = { type: 'program', name: programName(args[at]!) ?? args[at]!, access: 'execute' as const };
    return { ...inner, action: raise ?? inner.action, others: [...(inner.others ?? []), ran] };
  };

const short = /^-[A-Za-z0-9]+$/u;
const number = /^[0-9.]+[smhd]?$/u;

const systemctl: Reader = (args, terminal, name) => {
  const effect = verbs(
    {
      status: 'read',
      show: 'read',
      cat: 'read',
      'is-active': 'read',
      'is-enabled': 'read',
      'is-failed': 'read',
      'list-units': 'read',
      'list-unit-files': 'read',
      'list-timers': 'read',
      'list-sockets': 'read',
      'list-dependencies': 'read',
      'get-default': 'read',
      start: 'execute',
      stop: 'execute',
      restart: 'execute',
      reload: 'execute',
      'try-restart': 'execute',
      'reload-or-restart': 'execute',
      enable: 'administer',
      disable: 'administer',
      mask: 'administer',
      unmask: 'administer',
      'daemon-reload': 'administer',
      reboot: 'administer',
      poweroff: 'administer',
      halt: 'administer',
    },
    'service',
    /^(--no-pager|--user|--system|-q|--quiet|-l|--full|--plain|--no-legend)$/u,
    /^(--no-pager|-q|--quiet|-l|--full|--plain|--no-legend|-a|--all|--failed|--now|-n[0-9]*|--lines=[0-9]+|-p|--property=[\w,]+|--type=\w+|--state=\w+|--value|-o|--output=[\w-]+)$/u,
  )(args, terminal, name);
  return paged(effect, args, terminal, name);
};

/** With a terminal these start a pager, which starts whatever one likes. */
const paged = (effect: ProgramEffect, args: readonly string[], terminal: boolean, name: string): ProgramEffect =>
  terminal && !args.includes('--no-pager') && effect.because === undefined
    ? unknown(`${name} starts a pager in a terminal: give --no-pager, or run it without a terminal (ssh -T)`)
    : effect;

const pages =
  (reader: Reader): Reader =>
  (args, terminal, name) =>
    paged(reader(args, terminal, name), args, terminal, name);

const journalctl: Reader = (args, terminal, name) => {
  const more = args.find((arg) =>
    /^--(vac|rot|fl|sy|rel|smart|set|inter|update|force|verify-key|cursor-f|file|root|image|dir)|^-[A-Za-z]*D/u.test(
      arg,
    ),
  );
  if (more !== undefined) return unknown(`journalctl ${more} does more than read the journal`);
  return paged({ action: 'read', files: [] }, args, terminal, name);
};

const git: Reader = (args, terminal, name) => {
  const places = args.filter((_, index) => args[index - 1] === '-C');
  if (places.length > 1) return unknown('git with more than one -C');
  const at = args.findIndex((arg, index) => arg !== '-C' && args[index - 1] !== '-C' && arg !== '--no-pager');
  const [verb = '', ...rest] = at === -1 ? [] : args.slice(at);
  const options: Readonly<Record<string, RegExp>> = {
    status: /^(-s|--short|-b|--branch|--porcelain(=v?[12])?|-uno|-v)$/u,
    log: /^(--oneline|--graph|--all|--stat|--decorate|-[0-9]+|-n|-n[0-9]+|-p|--no-color|--format=[^%]*(%[A-Za-z]{1,2}[^%]*)*|--since=.*|--until=.*|--author=.*|--no-ext-diff|--no-textconv|--name-only|--name-status)$/u,
    show: /^(--stat|--name-only|--name-status|--no-color|--no-ext-diff|--no-textconv|--oneline|-s)$/u,
    diff: /^(--stat|--name-only|--name-status|--cached|--staged|--no-color|--no-ext-diff|--no-textconv|--check)$/u,
    'rev-parse': /^(--short|--abbrev-ref|--verify|--show-toplevel|HEAD)$/u,
    describe: /^(--tags|--always|--dirty|--long)$/u,
    'ls-files': /^(-m|-o|-d|-s|--others|--modified|--exclude-standard)$/u,
    branch: /^(-a|-r|-v|-vv|--list|--show-current)$/u,
    remote: /^(-v)$/u,
    blame: /^(-L|-w|-C)$/u,
  };
  const allowed = Object.hasOwn(options, verb) ? options[verb] : undefined;
  if (allowed === undefined) return unknown(`what git ${verb} does is not known`);
  const other = rest.find((arg) => arg.startsWith('-') && arg !== '--' && !allowed.test(arg));
  if (other !== undefined) return unknown(`what git ${verb} ${other} does is not known`);
  // "git branch NAME" makes one; "git remote add" and others change it.
  if ((verb === 'branch' || verb === 'remote') && rest.some((arg) => !arg.startsWith('-')))
    return unknown(`git ${verb} ${rest.join(' ')} does more than list`);
  // Where there is no repository, git diff compares files: whatever it is told may be one.
  const [place = '.'] = places;
  const files = operands(rest)
    .flatMap((arg) => [arg, ...(arg.includes(':') ? [arg.slice(arg.indexOf(':') + 1)] : [])])
    .filter((arg) => arg !== '')
    .map((arg) => ({ path: /^[/~]/u.test(arg) ? arg : `${place}/${arg}`, access: 'read' as const }));
  return paged({ action: 'read', files }, args, terminal, name);
};

const sed: Reader = (args) => {
  const [flag, script = '', ...files] = args;
  if (flag !== '-n' || !/^([0-9]+|\$)(,([0-9]+|\$))?p$/u.test(script) || files.some((file) => file.startsWith('-')))
    return unknown('a script of sed may run programs and write files: only sed -n "N,Mp" is known');
  return reads(files);
};

/** Listing an archive; what `kubectl cp` runs as well: packing to standard output, and unpacking what comes in. */
const tar: Reader = (args) => {
  const told = args.filter((arg) => !/^--no-same-(?:permissions|owner)$/u.test(arg));
  const [mode = '', ...rest] = told;
  if (/^-?x[mp]*f$/u.test(mode) && rest[0] === '-') return unpacks(rest.slice(1));
  const packs = /^-?c[hv]*f$/u.test(mode) && rest[0] === '-';
  if (!packs && (!/^-?t[zjJv]*f$/u.test(mode) || told.length < args.length))
    return unknown(
      'of tar only listing (tar -tf FILE), packing to and unpacking from standard input and output are known',
    );
  const names = packs ? rest.slice(1) : rest;
  // "@FILE" is another archive to BSD's.
  if (names.some((arg) => /^[-@]/u.test(arg))) return unknown('tar with more options may run programs');
  // A name with a colon is a file of another host, fetched by a program.
  if (!packs && rest[0]?.includes(':') === true)
    return unknown('an archive of another host is fetched by another program');
  const effect = reads(names);
  return packs ? { ...effect, files: [...effect.files, ...below(effect.files)] } : effect;
};

/** Behind `tar xf -`: it writes anything below the folder. */
function unpacks(rest: readonly string[]): ProgramEffect {
  const [option, folder = '.'] = rest;
  const known = rest.length === 0 || (rest.length === 2 && option === '-C' && !folder.startsWith('-'));
  if (!known) return unknown('what this unpacks, and where, is not known');
  return { action: 'write', files: [{ path: `${folder.replace(/\/+$/u, '')}/**`, access: 'update' }] };
}

const grep: Reader = (args, _terminal, name) => {
  const files = readsUnless(/^-\w*f./u)(args, false, name);
  if (files.because !== undefined) return files;
  const patternByOption = args.some((arg) => /^-\w*[ef]|^--(re|fi)/u.test(arg));
  const read = patternByOption ? files.files : files.files.slice(1);
  if (!args.some((arg) => /^-\w*[rRd]|^--(r|de|di)/u.test(arg))) return { ...files, files: read };
  return { ...files, files: below(read.length === 0 ? [{ path: '.', access: 'read' }] : read) };
};

const date: Reader = (args) => {
  const other = args.find((arg) => !/^(\+.*|-u|--utc|-R|-I\w*|--iso-8601(=\w+)?|--rfc-3339=\w+)$/u.test(arg));
  return other === undefined
    ? { action: 'read', files: [] }
    : unknown(`date ${other} may set the clock, or read a file`);
};

const docker = verbs(
  {
    ps: 'read',
    images: 'read',
    logs: 'read',
    inspect: 'read',
    top: 'read',
    port: 'read',
    version: 'read',
    info: 'read',
    diff: 'read',
    stats: 'read',
    start: 'execute',
    stop: 'execute',
    restart: 'execute',
  },
  'container',
  /^$/u,
  /^(-a|--all|-q|--quiet|-f|--follow|-n|--tail|--tail=[0-9]+|--since=\S+|-t|--timestamps|--no-stream|--no-trunc|--format=.*|-s|--size)$/u,
);

const kill: Reader = (args) => {
  const [first = '', ...rest] = args;
  const signal = /^(-[A-Z]+[A-Z0-9]*|-[0-9]{1,2}|-s|-l)$/u.test(first);
  const other = (signal ? rest : args).find((arg) => !/^([A-Z]+[A-Z0-9]*|[1-9][0-9]*)$/u.test(arg));
  if (other !== undefined) return unknown(`what kill ${other} ends is not known`);
  const processes = args.filter((arg) => /^[0-9]+$/u.test(arg));
  return {
    action: 'execute',
    files: [],
    others: processes.map((name) => ({ type: 'process', name, access: 'execute' })),
  };
};

const tee: Reader = (args) => {
  const other = args.find((arg) => arg.startsWith('-') && !/^(-a|--append|-i)$/u.test(arg));
  if (other !== undefined) return unknown(`what tee ${other} does is not known`);
  return { action: 'write', files: operands(args).map((path) => ({ path, access: 'update' })) };
};

/** The number of words before the program that is run; undefined where it is not known. */
const afterOptions =
  (option: RegExp, withValue: RegExp, further = 0) =>
  (args: readonly string[]): number | undefined => {
    let at = 0;
    while (at < args.length && args[at]!.startsWith('-')) {
      if (withValue.test(args[at]!)) at += 2;
      else if (option.test(args[at]!)) at += 1;
      else return undefined;
    }
    return at + further;
  };

/** By what they are told: they read files and write what goes out; they tell of files; they tell of the machine. */
const plain = {
  pure: `cat head tail wc md5sum sha1sum sha224sum sha256sum sha384sum sha512sum cksum sum b2sum cut tr nl tac rev comm join
    paste fold fmt expand unexpand column cmp zcat strings od hexdump base64 base32 xxd pr ptx shuf tsort sum expand look iconv bzcat xzcat zstdcat
    lz4cat readelf nm size objdump diff3 colrm hd`,
  lists: 'ls dir vdir stat df basename dirname readlink realpath namei getfacl lsattr findmnt cd mountpoint pathchk',
  echoes: 'true false : echo pwd seq sleep exit numfmt expr factor yes cal',
  informs: `whoami id groups uname uptime arch nproc free vmstat iostat mpstat pidstat pgrep pidof pstree lsblk lscpu lsmem lsns
    lsipc lsmod lslocks lslogins modinfo lspci lsusb netstat nstat ethtool locale which whereis type tty logname hostid
    getconf loginctl timedatectl hostnamectl localectl systemd-detect-virt systemd-cgls swapon dmidecode sensors
    blkid tload slabtop numastat runlevel`,
  informsOf: 'who w last lastb users pmap',
} as const;
const named = (names: string, reader: Reader) =>
  Object.fromEntries(names.split(/\s+/u).map((name) => [name, reader] as const));

const programs: Readonly<Record<string, Reader>> = {
  ...named(plain.pure, pure),
  ...named(plain.lists, lists),
  ...named(plain.echoes, echoes),
  ...named(plain.informs, informs),
  ...named(plain.informsOf, informsOf),
  // These change the machine as well, by other words.
  ...named(
    'loginctl timedatectl hostnamectl localectl',
    pages(informsWith(/^(status|show|list-sessions|list-users|list-timezones|--no-pager)$/u)),
  ),
  'systemd-cgls': pages(informs),
  arch: informsWith(/^$/u),
  dmidecode: informsUnless(/^--[df]/u),
  lspci: informsUnless(/^-[A-Za-z]*[OqQ]/u),
  pidstat: informsUnless(/^-[A-Za-z]*e/u),
  sensors: informsUnless(/^-[A-Za-z]*[cs]|^--[cs]/u),
  swapon: informsWith(/^(--show|-s|--summary)$/u),
  blkid: informsWith(/^\/dev\/\w+$/u),
  ethtool: informsWith(/^[a-z]\w*$/u),
  yes: (_args, _terminal, name) => unknown(`${name} never ends`),
  hostid: informsWith(/^$/u),
  mount: informsWith(/^-l$/u),
  getent: (args, _terminal, name) =>
    /^(passwd|group|hosts|ahosts|ahostsv4|ahostsv6|services|protocols|networks)$/u.test(args[0] ?? '') &&
    args.every((arg) => !arg.startsWith('-'))
      ? { action: 'read', files: [] }
      : unknown(`what ${name} ${args.join(' ')} tells may be secret`),
  lsof: readsUnless(/^[-+][A-Za-z]*[DAek]/u),
  // "e" shows the variables of processes, passwords among them.
  ps: (args, terminal, name) =>
    args.some((arg) => /^(?!-)\w*e/u.test(arg) && !/^[a-z]{3,},|^comm|^pid|^user|^%/u.test(arg))
      ? unknown('ps with e shows what processes keep in their variables')
      : informs(args, terminal, name),
  test: calm(lists),
  '[': calm(lists),
  ...named('grep egrep fgrep zgrep', grep),
  diff: throughOperands(/^-\w*r|^--r/u, readsUnless(/^-[A-Za-z]*[XS]./u)),
  du: readsUnless(/^-[A-Za-z]*X./u, /^--(files0|exclude-f)/u),
  // What these write, or run, by an option or an operand.
  xxd: (args, terminal, name) =>
    operands(args).length > 1 || args.some((arg) => /^-r/u.test(arg))
      ? unknown('xxd writes its second file')
      : pure(args, terminal, name),
  shuf: readsUnless(/^-[A-Za-z]*o|^--o/u),
  iconv: readsUnless(/^-[A-Za-z]*o|^--o/u),
  ptx: (args, terminal, name) =>
    operands(args).length > 1 ? unknown('ptx may write its second file') : pure(args, terminal, name),
  diff3: readsUnless(/^--diff/u),
  // "@FILE" stands for the options that are in the file.
  objdump: readsUnless(/^--(pl|deb|dw)|^@/u),
  nm: readsUnless(/^--pl|^@/u),
  ...named('strings readelf size', readsUnless(/^@/u)),
  // A file of formats is shown where it is none.
  ...named('hexdump hd', readsUnless(/^-[A-Za-z]*f./u)),
  // They go through folders, write where they are told, and remove what they have read.
  zcat: readsUnless(/^-[A-Za-z]*r|^--r/u),
  ...named('zstdcat lz4cat', readsUnless(/^-./u)),
  pmap: readsUnless(/^-[A-Za-z]*[nN]|^--cr/u),
  set: informsWith(/^(-[euxo]+|pipefail)$/u),
  command: (args, terminal, name) =>
    args[0] === '-v' || args[0] === '-V' ? informs(args, terminal, name) : unknown(`what ${name} runs is not known`),
  printf: calm(readsUnless(/^-v/u)),
  find: (args, _terminal, name) => {
    const more = args.find((arg) =>
      /^-(exec|execdir|ok|okdir|delete|fprint|fprint0|fprintf|fls|files0-from)$/u.test(arg),
    );
    if (more !== undefined) return unknown(`find ${more} does more than look`);
    // Where it starts; behind that stand conditions.
    const start = args.findIndex((arg) => /^[-(!]/u.test(arg) && !/^-[HLP]$/u.test(arg));
    const places = operands(start === -1 ? args : args.slice(0, start));
    return lists(places.length === 0 ? ['.'] : places, false, name);
  },
  sort: readsUnless(/^--(o|co|fi|t)/u, /^-[A-Za-z]*[oT]/u),
  // Its second operand is written.
  uniq: (args, terminal, name) =>
    operands(args).length > 1 ? unknown('uniq writes its second file') : pure(args, terminal, name),
  file: readsUnless(/^-[A-Za-z]*[CmMfzZS]/u, /^--(c|m|f|u|no)/u),
  ss: readsUnless(/^-[A-Za-z]*[KDFN]/u, /^--(k|d|f|n(e|o)?)/u),
  hostname: informsWith(/^(-[fisdIA]|--(fqdn|short|ip-address|all-ip-addresses|long|domain))$/u),
  ip: (args, _terminal, name) => {
    const [object = '', verb = 'show', ...rest] = args.filter(
      (arg) => !/^-([46osdrhc]|br|brief|color|json|j|details|stats?|oneline)$/u.test(arg),
    );
    return ['addr', 'address', 'a', 'link', 'l', 'route', 'r', 'neigh', 'n', 'rule'].includes(object) &&
      ['show', 'list', 'ls', 'get'].includes(verb) &&
      rest.every((arg) => !arg.startsWith('-'))
      ? { action: 'read', files: [] }
      : unknown(`what ${name} ${args.join(' ')} does is not known`);
  },
  top: (args, terminal, name) =>
    args.some((arg) => /^-[A-Za-z]*b/u.test(arg))
      ? informs(args, terminal, name)
      : unknown('top takes commands: give -b'),
  date,
  sed,
  tar,
  git,
  docker,
  kill,
  tee,
  systemctl,
  journalctl,
  mkdir: changes('write', 'insert', /^(-[pv]+|-m|--parents|--verbose|--mode=[0-7]+)$/u),
  touch: changes('write', 'update', /^(-[acm]+|-d|--date=.*|--no-create)$/u),
  cp: throughOperands(
    /^-[A-Za-z]*[arR]|^--(archive|recursive)/u,
    changes(
      'write',
      'update',
      /^(-[aprRvfiuLPTn]+|--(archive|recursive|force|verbose|update|no-clobber|preserve(=[\w,]+)?))$/u,
      'read',
    ),
  ),
  mv: changes('delete', 'update', /^(-[fivnuT]+|--(force|verbose|no-clobber))$/u, 'delete'),
  // A link gives a second name to all that is below.
  ln: throughOperands(/^/u, changes('write', 'insert', /^(-[sfvnrT]+|--(symbolic|force|relative))$/u, 'read')),
  rm: changes('delete', 'delete', /^(-[rRfvidI]+|--(recursive|force|verbose|dir|one-file-system|preserve-root))$/u),
  rmdir: changes('delete', 'delete', /^(-[pv]+|--(parents|verbose))$/u),
  unlink: changes('delete', 'delete', short),
  chmod: changes('administer', 'administer', /^(-[Rvfc]+|--(recursive|verbose)|-[rwxXst]+)$/u),
  chown: changes('administer', 'administer', /^(-[Rvfch]+|--(recursive|verbose|no-dereference))$/u),
  chgrp: changes('administer', 'administer', /^(-[Rvfch]+|--(recursive|verbose|no-dereference))$/u),
  timeout: runs((args) => {
    const at = afterOptions(/^(--foreground|-v|--preserve-status)$/u, /^(-k|-s|--kill-after|--signal)$/u)(args);
    return at !== undefined && number.test(args[at] ?? '') ? at + 1 : undefined;
  }),
  nice: runs(afterOptions(/^(-[0-9]+|--adjustment=-?[0-9]+)$/u, /^-n$/u)),
  nohup: runs(afterOptions(/^$/u, /^$/u)),
  time: runs(afterOptions(/^-p$/u, /^$/u)),
  ionice: runs(afterOptions(/^(-c[0-3]|-n[0-7]|-t)$/u, /^-[cn]$/u)),
  sudo: runs(afterOptions(/^(-n|--non-interactive|-H)$/u, /^(-u|-g)$/u), 'administer'),
};
