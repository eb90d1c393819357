import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { actions, type Access, type Action, type Operation, type Resource } from '#engine';
import type { SshOperation } from './schema.js';
import { effectOf, programName } from './shell/programs.js';
import { readShell } from './shell/structure.js';

/** What a client asks of a host, as one structured operation each. */

export interface Place {
  readonly user: string;
  /** HOST:PORT. */
  readonly host: string;
}

/** What goes along with a command. */
export interface Surroundings {
  readonly terminal: boolean;
  readonly environment: Readonly<Record<string, string>>;
}

const hostOf = (place: Place): Resource => ({ type: 'host', name: place.host, access: 'use' });

function make(action: Action, resources: readonly Resource[], opaque: boolean, ssh: SshOperation): Operation {
  const hash = createHash('sha256')
    .update(JSON.stringify([action, ssh]))
    .digest('hex');
  return { stage: 'execute', action, resources, opaque, hash, ssh };
}

export function connectOperation(place: Place): Operation {
  return make('connect', [hostOf(place)], false, { request: 'connect', ...place });
}

export interface ExecOperation {
  readonly operation: Operation;
  /** What is sent: every word in quotes where all is known, else what the client said. */
  readonly sent: string;
}

/** A command line. What it does is the strongest of what its commands do; what is not known of one is not known of all. */
export function execOperation(place: Place, command: string, { terminal, environment }: Surroundings): ExecOperation {
  const structure = readShell(command);
  const because = [...structure.because];
  // Where bytes were no UTF-8, other bytes would leave than those that were judged.
  if (command.includes('\ufffd')) because.push('it is not UTF-8');
  if (structure.commands.length === 0 && because.length === 0) because.push('there is no command in it');
  let action: Action = 'read';
  const resources = new Map<string, Resource>();
  const add = (resource: Resource) => resources.set(`${resource.type}\0${resource.name}\0${resource.access}`, resource);
  add(hostOf(place));
  // Before a "cd", names are looked for in the login's own folder.
  let folder = '~';
  const commands = structure.commands.map(({ argv, redirections }, index) => {
    if (argv[0] === 'cd') {
      folder = absolute(argv[1] ?? '~', folder);
      if (index > 0 || argv.length > 2 || !structure.inFolder)
        because.push('it changes its folder in between, so that names are not known: begin with cd FOLDER &&');
    }
    const effect = argv.length === 0 ? { action: 'read' as const, files: [] } : effectOf(argv, terminal);
    let own: Action = effect.action;
    if (argv.length > 0) add({ type: 'program', name: programName(argv[0]!) ?? argv[0]!, access: 'execute' });
    for (const { path, access } of effect.files) add({ type: 'file', name: absolute(path, folder), access });
    for (const other of effect.others ?? []) add(other);
    for (const { path, access } of redirections) {
      add({ type: 'file', name: absolute(path, folder), access: access === 'read' ? 'read' : 'update' });
      if (access === 'write') own = stronger(own, 'write');
    }
    action = stronger(action, own);
    if (effect.because !== undefined) because.push(effect.because);
    return {
      program: argv[0] === undefined ? '' : (programName(argv[0]) ?? argv[0]),
      argv: [...argv],
      action: own,
      opaque: effect.because !== undefined,
      redirections: redirections.map((redirection) => ({ ...redirection })),
    };
  });
  const opaque = because.length > 0;
  const operation = make(opaque ? stronger(action, 'execute') : action, [...resources.values()], opaque, {
    request: 'exec',
    ...place,
    terminal,
    ...(Object.keys(environment).length === 0 ? {} : { environment: { ...environment } }),
    command,
    commands,
    ...(opaque ? { because: [...new Set(because)] } : {}),
  });
  return { operation, sent: opaque ? command : (structure.quoted ?? command) };
}

/** /etc/passwd, ~/notes: without "." and "//"; ".." stays where it leads out of the login's folder. */
function absolute(path: string, folder: string): string {
  const joined = path.startsWith('/') || path.startsWith('~') ? path : `${folder}/${path}`;
  const plain = joined.startsWith('~') ? climb(joined) : posix.normalize(joined);
  return plain.length > 1 && plain.endsWith('/') ? plain.slice(0, -1) : plain;
}

/** The login's folder has a parent of which the name is not known: nothing is taken back out of it. */
function climb(path: string): string {
  const [home = '~', ...rest] = path.split('/');
  const below = posix.normalize(rest.join('/'));
  return below === '.' ? home : `${home}/${below}`;
}

/** A shell: what will be typed into it nobody knows before. */
export function shellOperation(place: Place, { terminal, environment }: Surroundings): Operation {
  return make('execute', [hostOf(place), { type: 'shell', name: place.user, access: 'execute' }], true, {
    request: 'shell',
    ...place,
    terminal,
    ...(Object.keys(environment).length === 0 ? {} : { environment: { ...environment } }),
    because: ['what is typed into a shell is not known before'],
  });
}

export function subsystemOperation(place: Place, subsystem: string): Operation {
  const sftp = subsystem === 'sftp';
  return make(
    sftp ? 'session' : 'execute',
    [hostOf(place), { type: 'subsystem', name: subsystem, access: 'execute' }],
    !sftp,
    {
      request: 'subsystem',
      ...place,
      subsystem,
      ...(sftp ? {} : { because: [`what the subsystem ${subsystem} does is not known`] }),
    },
  );
}

export interface FileRequest {
  readonly operation: string;
  readonly action: Action;
  /** Absolute, without "." and "..". */
  readonly path: string;
  readonly access: Access;
  readonly to?: { readonly path: string; readonly access: Access };
  readonly flags?: readonly string[];
  readonly resolved?: boolean;
}

export function fileOperation(place: Place, request: FileRequest): Operation {
  const { operation, action, path, access, to, flags, resolved } = request;
  return make(
    action,
    [
      { type: 'file', name: path, access },
      ...(to === undefined ? [] : [{ type: 'file', name: to.path, access: to.access }]),
    ],
    false,
    {
      request: 'sftp',
      ...place,
      sftp: {
        operation,
        path,
        ...(to === undefined ? {} : { to: to.path }),
        ...(flags === undefined ? {} : { flags: [...flags] }),
        ...(resolved === true ? { resolved } : {}),
      },
    },
  );
}

/** A forwarding carries what nobody here looks at. */
export function forwardOperation(place: Place, forward: NonNullable<SshOperation['forward']>): Operation {
  const name = forward.socket ?? `${forward.host ?? ''}:${forward.port ?? 0}`;
  const type = forward.socket === undefined ? 'address' : 'socket';
  return make('transfer', [hostOf(place), { type, name, access: 'use' }], true, {
    request: 'forward',
    ...place,
    forward,
    because: ['what goes through a forwarding is not looked at'],
  });
}

const stronger = (a: Action, b: Action): Action => (actions.indexOf(a) >= actions.indexOf(b) ? a : b);
