import { createHash } from 'node:crypto';
import type { Access, Action, Operation, Resource } from '#engine';
import { stronger, understandLine, type Programs } from '../../shell/index.js';
import type { SshOperation } from './schema.js';

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
  /** What is known of programs. Absent: what is built in. */
  readonly programs?: Programs;
  /** One of the lines of a supervised shell, with what is kept across them. Absent: a command by itself. */
  readonly line?: LineSurroundings;
}

export interface LineSurroundings {
  /** Where it runs: an absolute path, or `~` for the login's own folder. */
  readonly folder: string;
  /** What new files are not allowed, in three digits. Absent: as the login has it. */
  readonly umask?: string | undefined;
  /** What makes all lines run so on the host; stands before what was judged. */
  readonly prefix: string;
  /** Why it is opaque besides, in words. */
  readonly because?: readonly string[];
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
export function execOperation(place: Place, command: string, surroundings: Surroundings): ExecOperation {
  const { terminal, environment, programs, line } = surroundings;
  const folder = line?.folder ?? '~';
  const understood = understandLine(command, { terminal, folder, programs, inSession: line !== undefined });
  const { action, resources, commands, sent } = understood;
  const because = [...new Set([...understood.because, ...(line?.because ?? [])])];
  const opaque = because.length > 0;
  const touched = [hostOf(place), ...(folder === '~' ? [] : [folderOf(folder)]), ...resources];
  const operation = make(opaque ? stronger(action, 'execute') : action, touched, opaque, {
    request: 'exec',
    ...place,
    terminal,
    ...(line === undefined ? {} : { entered: 'shell', folder }),
    ...(line?.umask === undefined ? {} : { umask: line.umask }),
    ...(Object.keys(environment).length === 0 ? {} : { environment: { ...environment } }),
    command,
    commands: [...commands],
    ...(opaque ? { because: [...because] } : {}),
  });
  return { operation, sent: `${line?.prefix ?? ''}${sent}` };
}

const folderOf = (folder: string): Resource => ({ type: 'file', name: folder, access: 'use' });

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

/** A shell of which each line is judged as a command is: it does nothing by itself. */
export function supervisedOperation(place: Place, { terminal, environment }: Surroundings): Operation {
  return make('session', [hostOf(place), { type: 'shell', name: place.user, access: 'use' }], false, {
    request: 'shell',
    ...place,
    supervised: true,
    terminal,
    ...(Object.keys(environment).length === 0 ? {} : { environment: { ...environment } }),
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
  /** True: what stands in the file comes back as well. */
  readonly alsoReads?: boolean;
  readonly resolved?: boolean;
}

export function fileOperation(place: Place, request: FileRequest): Operation {
  const { operation, action, path, access, to, flags, alsoReads, resolved } = request;
  return make(
    action,
    [
      { type: 'file', name: path, access },
      ...(alsoReads === true ? [{ type: 'file', name: path, access: 'read' } as const] : []),
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

/** The client's ssh-agent: what the host has signed with it nobody here looks at. */
export function sshAgentOperation(place: Place): Operation {
  return make('transfer', [hostOf(place), { type: 'ssh_agent', name: 'client', access: 'use' }], true, {
    request: 'ssh_agent',
    ...place,
    because: ['what the host has signed by an ssh-agent is not known'],
  });
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
