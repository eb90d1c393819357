import {
  below,
  files,
  names,
  operands,
  paged,
  paths,
  places,
  unknown,
  type ProgramEffect,
  type Reader,
} from './reading.js';

/**
 * Programs whose words no row of programs.yaml could describe: `words: own`. What is not known of them is `unknown` here
 * as well.
 */

const git: Reader = (args, invocation) => {
  const at = args.findIndex((arg, index) => arg !== '-C' && args[index - 1] !== '-C' && arg !== '--no-pager');
  const folders = args.slice(0, Math.max(at, 0)).filter((_, index) => args[index - 1] === '-C');
  if (folders.length > 1) return unknown('git with more than one -C');
  const [verb = '', ...rest] = at === -1 ? [] : args.slice(at);
  const allowed = Object.hasOwn(gitOptions, verb) ? gitOptions[verb] : undefined;
  if (allowed === undefined) return unknown(`what git ${verb} does is not known`);
  const other = rest.find((arg) => arg.startsWith('-') && arg !== '--' && !allowed.test(arg));
  if (other !== undefined) return unknown(`what git ${verb} ${other} does is not known`);
  // "git branch NAME" makes one; "git remote add" and others change it.
  if ((verb === 'branch' || verb === 'remote') && rest.some((arg) => !arg.startsWith('-')))
    return unknown(`git ${verb} ${rest.join(' ')} does more than list`);
  // Where there is no repository, git diff compares files: whatever it is told may be one.
  const [place = '.'] = folders;
  const read = operands(rest)
    .flatMap((arg) => [arg, ...(arg.includes(':') ? [arg.slice(arg.indexOf(':') + 1)] : [])])
    .filter((arg) => arg !== '')
    .map((arg) => ({ path: /^[/~]/u.test(arg) ? arg : `${place}/${arg}`, access: 'read' as const }));
  return paged({ action: 'read', files: read }, args, invocation);
};

/** The verbs that are known, with the options that are. */
const gitOptions: Readonly<Record<string, RegExp>> = {
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

const sed: Reader = (args, invocation) => {
  const [flag, script = '', ...rest] = args;
  if (flag !== '-n' || !/^([0-9]+|\$)(,([0-9]+|\$))?p$/u.test(script) || rest.some((file) => file.startsWith('-')))
    return unknown('a script of sed may run programs and write files: only sed -n "N,Mp" is known');
  return files(rest, invocation);
};

/** Listing an archive; what `kubectl cp` runs as well: packing to standard output, and unpacking what comes in. */
const tar: Reader = (args, invocation) => {
  const told = args.filter((arg) => !/^--no-same-(?:permissions|owner)$/u.test(arg));
  const [mode = '', ...rest] = told;
  if (/^-?x[mp]*f$/u.test(mode) && rest[0] === '-') return unpacks(rest.slice(1));
  const packs = /^-?c[hv]*f$/u.test(mode) && rest[0] === '-';
  if (!packs && (!/^-?t[zjJv]*f$/u.test(mode) || told.length < args.length))
    return unknown(
      'of tar only listing (tar -tf FILE), packing to and unpacking from standard input and output are known',
    );
  const named = packs ? rest.slice(1) : rest;
  // "@FILE" is another archive to BSD's.
  if (named.some((arg) => /^[-@]/u.test(arg))) return unknown('tar with more options may run programs');
  // A name with a colon is a file of another host, fetched by a program.
  if (!packs && rest[0]?.includes(':') === true)
    return unknown('an archive of another host is fetched by another program');
  const effect = files(named, invocation);
  return packs ? { ...effect, files: [...effect.files, ...below(effect.files)] } : effect;
};

/** Behind `tar xf -`: it writes anything below the folder. */
function unpacks(rest: readonly string[]): ProgramEffect {
  const [option, folder = '.'] = rest;
  const known = rest.length === 0 || (rest.length === 2 && option === '-C' && !folder.startsWith('-'));
  if (!known) return unknown('what this unpacks, and where, is not known');
  return { action: 'write', files: [{ path: `${folder.replace(/\/+$/u, '')}/**`, access: 'update' }] };
}

const grep: Reader = (args, invocation) => {
  const harmful = args.find((arg) => /^-\w*f./u.test(arg));
  if (harmful !== undefined) return unknown(`${invocation.name} ${harmful} does more than read`);
  // The script that it is writes names of files into scripts of sed's.
  if (invocation.name === 'zgrep' && args.some((arg) => arg.includes('\n')))
    return unknown('zgrep may run what stands in a name of several lines');
  const patternByOption = args.some((arg) => /^-\w*[ef]|^--(re|fi)/u.test(arg));
  // An empty pattern, or a hyphen, is a pattern.
  const told = patternByOption ? places(args) : places(args).slice(1);
  const read = told.filter((path) => path !== '' && path !== '-').map((path) => ({ path, access: 'read' as const }));
  if (!args.some((arg) => /^-\w*[rRd]|^--(r|de|di)/u.test(arg))) return { action: 'read', files: read };
  // A word behind an option may be its value, and no folder.
  const values = new Set(args.filter((_, index) => /^-(?:\w*[ABCDdefm]|-[\w-]+)$/u.test(args[index - 1] ?? '')));
  const everywhere = read.every(({ path }) => values.has(path)) ? [{ path: '.', access: 'read' as const }] : [];
  return { action: 'read', files: below([...read, ...everywhere]) };
};

const find: Reader = (args, invocation) => {
  const more = args.find((arg) =>
    /^-(exec|execdir|ok|okdir|delete|fprint|fprint0|fprintf|fls|files0-from)$/u.test(arg),
  );
  if (more !== undefined) return unknown(`find ${more} does more than look`);
  // Where it starts; behind that stand conditions.
  const start = args.findIndex((arg) => /^[-(!]/u.test(arg) && !/^-[HLP]$/u.test(arg));
  const places = operands(start === -1 ? args : args.slice(0, start));
  return names(places.length === 0 ? ['.'] : places, invocation);
};

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

const getent: Reader = (args, { name }) =>
  /^(passwd|group|hosts|ahosts|ahostsv4|ahostsv6|services|protocols|networks)$/u.test(args[0] ?? '') &&
  args.every((arg) => !arg.startsWith('-'))
    ? { action: 'read', files: [] }
    : unknown(`what ${name} ${args.join(' ')} tells may be secret`);

/**
 * BSD's "e" shows the variables of processes, passwords among them, and so does a column of that name. What procps cannot
 * read as options with a hyphen it reads once more as though they had none: then -e is that "e" as well.
 */
const ps: Reader = (args, invocation) => {
  const shows = unknown('ps may show what processes keep in their variables: it is known without e, and as -e or -ef');
  if (args.some((arg) => /environ/iu.test(arg))) return shows;
  const isListed = (arg: string, index: number) =>
    columns.test(arg) &&
    /^(?:-?[AaefFlLjyHTcdwxrSmM]*o|--format)$/u.test(args[index - 1] ?? '') &&
    !/^-[A-Za-z]*[CGNUgkpqstu]$|^--(?!no-h|h|forest)/u.test(args[index - 2] ?? '');
  const words = args.filter((arg, index) => !arg.startsWith('--') && !isListed(arg, index));
  const withE = words.filter((arg) => /e/u.test(arg));
  if (withE.length === 0) return paths(args, invocation);
  const plain = withE.every((arg) => /^-[AFHLTefjly]*o?$/u.test(arg) || attached.test(arg));
  // Another word could be what it fails to read.
  return plain && words.every((arg) => withE.includes(arg) || /^(?:-?w+|-[AFHLTfjly]*o?)$/u.test(arg))
    ? paths(args, invocation)
    : shows;
};

/** What columns there are: `pid,user=WHO`. */
const column =
  '(?:%?(?:cpu|mem)|p?cpu|pmem|[pt]?pid|ppid|pgid|sid|sess|lwp|nlwp|psr|e?user|ruser|e?uid|e?group|gid|tty|tt|stat|state|s|f|ni|pri|cls|rtprio|rss|rsz|vsz|vsize|sz|size|start|lstart|bsdstart|stime|e?time|etimes|bsdtime|cputime|wchan|comm|ucmd|cmd|args|command|unit|cgroup|label|min_flt|maj_flt)(?:=\\w*)?';
const columns = new RegExp(`^${column}(?:,${column})*$`, 'u');
const attached = new RegExp(`^-[A-Z]*e?f?o${column}(?:,${column})*$`, 'u');

const command: Reader = (args, invocation) =>
  args[0] === '-v' || args[0] === '-V' ? paths(args, invocation) : unknown(`what ${invocation.name} runs is not known`);

const top: Reader = (args, invocation) =>
  args.some((arg) => /^-[HScis]*b/u.test(arg)) ? paths(args, invocation) : unknown('top takes commands: give -b');

const ip: Reader = (args, { name }) => {
  const [object = '', verb = 'show', ...rest] = args.filter(
    (arg) => !/^-([46osdrhc]|br|brief|color|json|j|details|stats?|oneline)$/u.test(arg),
  );
  return ['addr', 'address', 'a', 'link', 'l', 'route', 'r', 'neigh', 'n', 'rule'].includes(object) &&
    ['show', 'list', 'ls', 'get'].includes(verb) &&
    rest.every((arg) => !arg.startsWith('-'))
    ? { action: 'read', files: [] }
    : unknown(`what ${name} ${args.join(' ')} does is not known`);
};

export const own: Readonly<Record<string, Reader>> = {
  ...{ command, find, getent, git, ip, kill, ps, sed, tar, tee, top },
  ...{ grep, egrep: grep, fgrep: grep, zgrep: grep },
};
