import { posix } from 'node:path';
import type { Access, Action } from '#engine';
import { ProtocolError } from '../../errors.js';
import { Fields, openFlags, packetTypes, type Packet } from './codec.js';

/**
 * SFTP's requests that name files, taken apart: what they do to which path, and the same packet with other paths in it, so
 * that what leaves names what was judged.
 */
export interface PathRequest {
  readonly operation: string;
  readonly action: Action;
  readonly access: Access;
  /** As the client wrote them. */
  readonly paths: readonly string[];
  /** What is done to the second path. */
  readonly toAccess?: Access;
  readonly flags?: readonly string[];
  /** True: what is opened to be changed is read as well. */
  readonly alsoReads?: boolean;
  /** True: it works on a symbolic link itself, and not on where that leads. */
  readonly onLink: boolean;
  /** What is opened by it. */
  readonly opens?: 'file' | 'directory';
  /** The packet, with these paths in place of the client's. */
  withPaths(paths: readonly string[]): Buffer;
}

/** Extensions that are known and judged; the server's others are not offered to the client. */
export const knownExtensions: ReadonlySet<string> = new Set([
  'posix-rename@openssh.com',
  'statvfs@openssh.com',
  'fstatvfs@openssh.com',
  'hardlink@openssh.com',
  'fsync@openssh.com',
  'lsetstat@openssh.com',
  'limits@openssh.com',
]);

/** Requests on what is open already, by a handle. */
export const onHandles: ReadonlySet<number> = new Set([
  packetTypes.close,
  packetTypes.read,
  packetTypes.write,
  packetTypes.fstat,
  packetTypes.readdir,
]);
export const extensionsOnHandles: ReadonlySet<string> = new Set(['fstatvfs@openssh.com', 'fsync@openssh.com']);

interface Shape {
  readonly operation: string;
  readonly action: Action;
  readonly access: Access;
  readonly toAccess?: Access;
  readonly onLink?: boolean;
  readonly opens?: 'file' | 'directory';
}

/** Names, sizes and times, not what is in files. */
const looking = { action: 'read', access: 'use' } as const;

const shapes: Readonly<Record<number, Shape>> = {
  [packetTypes.lstat]: { operation: 'lstat', ...looking, onLink: true },
  [packetTypes.stat]: { operation: 'stat', ...looking },
  [packetTypes.opendir]: { operation: 'opendir', ...looking, opens: 'directory' },
  [packetTypes.realpath]: { operation: 'realpath', ...looking },
  [packetTypes.readlink]: { operation: 'readlink', ...looking, onLink: true },
  [packetTypes.remove]: { operation: 'remove', action: 'delete', access: 'delete', onLink: true },
  [packetTypes.mkdir]: { operation: 'mkdir', action: 'write', access: 'insert', onLink: true },
  [packetTypes.rmdir]: { operation: 'rmdir', action: 'delete', access: 'delete', onLink: true },
  [packetTypes.rename]: { operation: 'rename', action: 'delete', access: 'delete', toAccess: 'update', onLink: true },
};

const extended: Readonly<Record<string, Shape>> = {
  'posix-rename@openssh.com': {
    operation: 'rename',
    action: 'delete',
    access: 'delete',
    toAccess: 'update',
    onLink: true,
  },
  'hardlink@openssh.com': { operation: 'hardlink', action: 'write', access: 'read', toAccess: 'insert', onLink: true },
  'statvfs@openssh.com': { operation: 'statvfs', ...looking },
  'lsetstat@openssh.com': { operation: 'setstat', action: 'write', access: 'update', onLink: true },
};

/**
 * Undefined: no request that names a file.
 *
 * @throws ProtocolError where the packet is not whole, or a name is not UTF-8.
 */
export function readPathRequest(packet: Packet): PathRequest | undefined {
  const fields = new Fields(packet);
  if (packet.type === packetTypes.extended) {
    const name = fields.text();
    const shape = Object.hasOwn(extended, name) ? extended[name] : undefined;
    if (shape === undefined) return undefined;
    return finish(packet, fields, shape.operation === 'setstat' ? fields : undefined, shape, Buffer.from(name));
  }
  if (packet.type === packetTypes.open) return readOpen(packet, fields);
  if (packet.type === packetTypes.symlink) return readSymlink(packet, fields);
  if (packet.type === packetTypes.setstat) {
    const request = finish(packet, fields, fields, { operation: 'setstat', action: 'write', access: 'update' });
    return request;
  }
  const shape = shapes[packet.type];
  return shape === undefined ? undefined : finish(packet, fields, undefined, shape);
}

function readOpen(packet: Packet, fields: Fields): PathRequest {
  const path = fields.text();
  const flags = openFlags(fields.uint32());
  const writes = flags.some((flag) => flag !== 'read');
  return {
    operation: 'open',
    action: writes ? 'write' : 'read',
    access: writes ? 'update' : 'read',
    paths: [path],
    flags,
    ...(writes && flags.includes('read') ? { alsoReads: true } : {}),
    onLink: false,
    opens: 'file',
    withPaths: replacer(packet, undefined, [path]),
  };
}

/** OpenSSH sends the target first and the link second, against the draft, and all who speak to it do the same. */
function readSymlink(packet: Packet, fields: Fields): PathRequest {
  const target = fields.text();
  const link = fields.text();
  const put = replacer(packet, undefined, [target, link]);
  return {
    operation: 'symlink',
    action: 'write',
    access: 'insert',
    paths: [link, posix.isAbsolute(target) ? target : posix.join(posix.dirname(link), target)],
    toAccess: 'read',
    onLink: true,
    // A link keeps the target that the client wrote: it means something from where the link is.
    withPaths: ([to = link]) => put([target, to]),
  };
}

function finish(
  packet: Packet,
  fields: Fields,
  attributes: Fields | undefined,
  shape: Shape,
  extension?: Buffer,
): PathRequest {
  const paths = shape.toAccess === undefined ? [fields.text()] : [fields.text(), fields.text()];
  const { operation, action, access, toAccess, onLink = false, opens } = shape;
  return {
    operation,
    action: attributes !== undefined && changesOwner(attributes) ? 'administer' : action,
    access,
    paths,
    ...(toAccess === undefined ? {} : { toAccess }),
    onLink,
    ...(opens === undefined ? {} : { opens }),
    withPaths: replacer(packet, extension, paths),
  };
}

const attribute = { size: 1, owner: 2, permissions: 4 } as const;
const setIds = 0o6000;

/** Whether attributes give a file to somebody else, or make a program run as its owner. */
export function changesOwner(fields: Fields): boolean {
  const flags = fields.uint32();
  if ((flags & attribute.owner) !== 0) return true;
  if ((flags & attribute.size) !== 0) {
    fields.uint32();
    fields.uint32();
  }
  return (flags & attribute.permissions) !== 0 && (fields.uint32() & setIds) !== 0;
}

/** Puts other paths in the place of those that start behind the id (and an extension's name). */
function replacer(packet: Packet, extension: Buffer | undefined, given: readonly string[]) {
  return (paths: readonly string[]): Buffer => {
    if (paths.every((path, index) => path === given[index])) return packet.bytes;
    const start = 9 + (extension === undefined ? 0 : 4 + extension.length);
    let end = start;
    for (const path of given) end += 4 + Buffer.byteLength(path);
    if (end > packet.bytes.length) throw new ProtocolError('an SFTP packet ends too early');
    const bytes = Buffer.concat([
      packet.bytes.subarray(0, start),
      ...paths.flatMap((path) => [length(path), Buffer.from(path)]),
      packet.bytes.subarray(end),
    ]);
    bytes.writeUInt32BE(bytes.length - 4, 0);
    return bytes;
  };
}

function length(text: string): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Buffer.byteLength(text));
  return bytes;
}
