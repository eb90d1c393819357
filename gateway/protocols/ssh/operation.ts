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
  const { terminal, environment, programs } = surroundings;
  const { action, resources, commands, because, sent } = understandLine(command, { terminal, folder: '~', programs });
  const opaque = because.length > 0;
  const operation = make(opaque ? stronger(action, 'execute') : action, [hostOf(place), ...resources], opaque, {
    request: 'exec',
    ...place,
    terminal,
    ...(Object.keys(environment).length === 0 ? {} : { environment: { ...environment } }),
    command,
    commands: [...commands],
    ...(opaque ? { because: [...because] } : {}),
  });
  return { operation, sent };
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
