import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs/promises';
import { constants } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, type Socket } from 'node:net';
import { posix } from 'node:path';
import ssh2, { type Connection, type ServerChannel, type Session, type SFTPWrapper } from 'ssh2';
import { string, uint32 } from '../../gateway/openssh/index.js';
import { fingerprintOf } from '../../gateway/protocols/ssh/hostkeys.js';
import { makeKey } from '../../gateway/protocols/ssh/library.js';
import { openAgentChannel } from '../../gateway/protocols/ssh/ssh-agent.js';

/**
 * A host for tests: commands run in `sh` as whoever runs the tests, SFTP is the file system below one folder, forwardings
 * connect. Every request that reached it is written down, so that a test can show that nothing did.
 */
export interface SshHost {
  readonly host: string;
  readonly port: number;
  readonly fingerprint: string;
  readonly user: string;
  readonly password: string;
  /** "exec ls", "shell", "sftp", "sftp open /x", "forward 127.0.0.1:80", … */
  readonly log: readonly string[];
  /** Asks the ssh-agent of whoever connected last; rejects where there is none. */
  askAgent(question: string): Promise<string>;
  /** Processes that run now. */
  readonly running: ReadonlySet<ChildProcessWithoutNullStreams>;
  /** Ends every connection in the middle of what goes on, as a machine does that loses its power. */
  drop(): void;
  close(): Promise<void>;
}

/**
 * @param runs False: commands are written down and end at once with 0. Nothing outside of the folder is ever changed.
 * @param takesAgent False: it takes no ssh-agent of its clients.
 */
export async function startSshHost(folder: string, { runs = true, takesAgent = true } = {}): Promise<SshHost> {
  const key = makeKey();
  const parsed = ssh2.utils.parseKey(key.public);
  if (parsed instanceof Error) throw parsed;
  const log: string[] = [];
  const running = new Set<ChildProcessWithoutNullStreams>();
  const connections = new Set<Connection>();
  const server = new ssh2.Server({ hostKeys: [key.private] }, (connection) => {
    connections.add(connection);
    connection.once('close', () => connections.delete(connection));
    connection.on('error', () => undefined);
    connection.on('authentication', (context) => {
      if (context.method === 'password' && context.username === 'deploy' && context.password === 'secret of the host')
        context.accept();
      else context.reject(['password']);
    });
    connection.on('session', (accept) => serve(accept()));
    connection.on('tcpip', (accept, reject, { destIP, destPort }) => {
      log.push(`forward ${destIP}:${destPort}`);
      const socket = connect(destPort, destIP);
      socket.once('error', () => reject());
      socket.once('connect', () => {
        const channel = accept();
        socket.pipe(channel).pipe(socket);
        channel.on('error', () => socket.destroy());
        channel.once('close', () => socket.destroy());
      });
    });
  });

  function serve(session: Session): void {
    const environment: Record<string, string> = {};
    let child: ChildProcessWithoutNullStreams | undefined;
    session.on('env', (accept, _reject, { key: name, val }: { key: string; val: string }) => {
      environment[name] = val;
      accept?.();
    });
    session.on('pty', (accept, _reject, { cols, rows }) => {
      log.push(`pty ${cols}x${rows}`);
      accept?.();
    });
    session.on('auth-agent', (accept, reject) => {
      log.push('agent');
      if (takesAgent) accept?.();
      else reject?.();
    });
    session.on('window-change', (_accept, _reject, { cols, rows }) => log.push(`window ${cols}x${rows}`));
    session.on('signal', (_accept, _reject, { name }) => {
      log.push(`signal ${name}`);
      if (child?.pid !== undefined) process.kill(-child.pid, `SIG${name}` as NodeJS.Signals);
    });
    session.on('exec', (accept, _reject, { command }) => {
      log.push(`exec ${command}`);
      if (runs) child = run(accept(), ['-c', command], environment);
      else {
        const channel = accept();
        channel.exit(0);
        channel.end();
      }
    });
    session.on('shell', (accept) => {
      log.push('shell');
      child = run(accept(), [], environment);
    });
    session.on('sftp', (accept) => {
      log.push('sftp');
      serveFiles(accept(), folder, log);
    });
  }

  function run(channel: ServerChannel, args: readonly string[], environment: Record<string, string>) {
    if (!runs) throw new Error('this host runs nothing');
    const child = spawn('sh', args, { cwd: folder, detached: true, env: { ...process.env, ...environment } });
    running.add(child);
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    channel.pipe(child.stdin);
    // Nobody takes the rest: with it unread, the command would never be over.
    channel.once('close', () => {
      child.stdout.unpipe(channel).resume();
      child.stderr.unpipe(channel.stderr).resume();
    });
    child.stdin.on('error', () => undefined);
    child.once('close', (code, signal) => {
      running.delete(child);
      if (signal !== null) exitBySignal(channel, signal.replace('SIG', ''));
      else channel.exit(code ?? 0);
      channel.end();
    });
    return child;
  }

  server.listen(0, '127.0.0.1');
  await once(server as unknown as NodeJS.EventEmitter, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    host: '127.0.0.1',
    port,
    fingerprint: fingerprintOf(parsed.getPublicSSH()),
    user: 'deploy',
    password: 'secret of the host',
    log,
    running,
    drop: () => {
      for (const connection of connections) (connection as unknown as { _sock: Socket })._sock.destroy();
      for (const child of running) killAll(child);
    },
    askAgent: async (question) => {
      const connection = [...connections].at(-1);
      if (connection === undefined) throw new Error('nobody is connected');
      const channel = await new Promise<ServerChannel>((resolve, reject) =>
        openAgentChannel(connection, (error, opened) => (error ? reject(error) : resolve(opened!))),
      );
      channel.write(question);
      const [answer] = (await Promise.race([once(channel, 'data'), once(channel, 'close').then(() => [''])])) as [
        Buffer,
      ];
      channel.end();
      return answer.toString();
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of connections) connection.end();
      for (const child of running) killAll(child);
      await closed;
    },
  };
}

/** With what it started: that would hold its output open. */
function killAll({ pid }: ChildProcessWithoutNullStreams): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It ended a moment ago.
  }
}

/** The names that OpenSSH's server has for signals; all others are "SIG@openssh.com" to it. */
const signalNames = new Set('ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2'.split(' '));

/** What of the library is not in its types. */
interface Insides {
  readonly outgoing: { readonly id: number };
  readonly _client: {
    readonly _protocol: {
      readonly _cipher: { encrypt(packet: Buffer): void };
      readonly _packetRW: {
        readonly write: { readonly allocStart: number; alloc(bytes: number): Buffer; finalize(packet: Buffer): Buffer };
      };
    };
  };
}

/** The library sends names alone that it knows (RFC 4254, section 6.10): the others are packed here. */
function exitBySignal(channel: ServerChannel, name: string): void {
  if (signalNames.has(name)) return channel.exit(name, false, '');
  const { outgoing, _client: client } = channel as unknown as Insides;
  const { _cipher: cipher, _packetRW: packets } = client._protocol;
  const head = [Buffer.of(98), uint32(outgoing.id), string('exit-signal'), Buffer.of(0)];
  const payload = Buffer.concat([...head, string('SIG@openssh.com'), Buffer.of(0), string(''), string('')]);
  const packet = packets.write.alloc(payload.length);
  packet.set(payload, packets.write.allocStart);
  cipher.encrypt(packets.write.finalize(packet));
}

const codes = ssh2.utils.sftp.STATUS_CODE;

/** The file system, as SFTP shows it. The folder is where relative names start. */
function serveFiles(sftp: SFTPWrapper, folder: string, log: string[]): void {
  const open = new Map<number, { readonly file?: fs.FileHandle; readonly path: string; listed?: boolean }>();
  let next = 0;
  const at = (path: string) => posix.resolve(folder, path);
  /** A path that may be changed: what a test gets wrong must not cost whoever runs it a file. */
  const inside = (path: string) => {
    const whole = at(path);
    if (whole !== folder && !whole.startsWith(`${folder}/`)) throw new Error(`${whole} is not the tests' own`);
    return whole;
  };
  const handleOf = (buffer: Buffer) => open.get(buffer.readUInt32BE(0));
  const give = (id: number, entry: { file?: fs.FileHandle; path: string }) => {
    const handle = Buffer.alloc(4);
    handle.writeUInt32BE(++next);
    open.set(next, entry);
    sftp.handle(id, handle);
  };
  const answer = (id: number, work: () => Promise<void>) => {
    work().catch((error: NodeJS.ErrnoException) =>
      sftp.status(id, error.code === 'ENOENT' ? codes.NO_SUCH_FILE : codes.FAILURE, error.code ?? ''),
    );
  };
  const note = (what: string, path: string) => log.push(`sftp ${what} ${path}`);
  const plainly = (name: string, work: (path: string, to: string) => Promise<unknown>) =>
    sftp.on(name as 'RENAME', (id: number, path: string, to: string) => {
      note(name.toLowerCase(), path);
      answer(id, async () => {
        await work(inside(path), typeof to === 'string' ? inside(to) : '');
        sftp.status(id, codes.OK);
      });
    });

  sftp.on('OPEN', (id, path, flags, attributes) => {
    note('open', path);
    answer(id, async () => {
      const how = ssh2.utils.sftp.flagsToString(flags) ?? 'r';
      const file = await fs.open(how === 'r' ? at(path) : inside(path), how, attributes.mode);
      give(id, { file, path: at(path) });
    });
  });
  sftp.on('READ', (id, handle, offset, length) =>
    answer(id, async () => {
      const { bytesRead, buffer } = await handleOf(handle)!.file!.read(Buffer.alloc(length), 0, length, offset);
      if (bytesRead === 0) sftp.status(id, codes.EOF);
      else sftp.data(id, buffer.subarray(0, bytesRead));
    }),
  );
  sftp.on('WRITE', (id, handle, offset, data) =>
    answer(id, async () => {
      await handleOf(handle)!.file!.write(data, 0, data.length, offset);
      sftp.status(id, codes.OK);
    }),
  );
  sftp.on('CLOSE', (id, handle) =>
    answer(id, async () => {
      await handleOf(handle)?.file?.close();
      open.delete(handle.readUInt32BE(0));
      sftp.status(id, codes.OK);
    }),
  );
  sftp.on('OPENDIR', (id, path) => {
    note('opendir', path);
    answer(id, async () => {
      await fs.access(at(path), constants.R_OK);
      give(id, { path: at(path) });
    });
  });
  sftp.on('READDIR', (id, handle) =>
    answer(id, async () => {
      const entry = handleOf(handle)!;
      if (entry.listed === true) return void sftp.status(id, codes.EOF);
      entry.listed = true;
      const names = await fs.readdir(entry.path);
      const rows = await Promise.all(
        names.map(async (filename) => {
          const attrs = await fs.lstat(posix.join(entry.path, filename));
          return { filename, longname: filename, attrs: attributesOf(attrs) };
        }),
      );
      sftp.name(id, rows);
    }),
  );
  const look = (name: 'STAT' | 'LSTAT', work: typeof fs.stat) =>
    sftp.on(name as 'STAT', (id, path) => {
      note(name.toLowerCase(), path);
      answer(id, async () => void sftp.attrs(id, attributesOf(await work(at(path)))));
    });
  look('STAT', fs.stat);
  look('LSTAT', fs.lstat);
  sftp.on('FSTAT', (id, handle) =>
    answer(id, async () => void sftp.attrs(id, attributesOf(await fs.stat(handleOf(handle)!.path)))),
  );
  sftp.on('FSETSTAT', (id) => sftp.status(id, codes.OK));
  sftp.on('SETSTAT', (id, path, { mode }) => {
    note('setstat', path);
    answer(id, async () => {
      if (mode !== undefined) await fs.chmod(inside(path), mode);
      sftp.status(id, codes.OK);
    });
  });
  sftp.on('REALPATH', (id, path) =>
    answer(id, async () => {
      const filename = await fs.realpath(at(path));
      sftp.name(id, [{ filename, longname: filename, attrs: attributesOf(await fs.stat(filename)) }]);
    }),
  );
  sftp.on('READLINK', (id, path) => {
    note('readlink', path);
    answer(id, async () => {
      const filename = await fs.readlink(at(path));
      sftp.name(id, [{ filename, longname: filename, attrs: attributesOf(await fs.lstat(at(path))) }]);
    });
  });
  plainly('REMOVE', (path) => fs.unlink(path));
  plainly('MKDIR', (path) => fs.mkdir(path));
  plainly('RMDIR', (path) => fs.rmdir(path));
  plainly('RENAME', (path, to) => fs.rename(path, to));
  sftp.on('SYMLINK', (id, link, target) => {
    note('symlink', link);
    answer(id, async () => {
      await fs.symlink(target, inside(link));
      sftp.status(id, codes.OK);
    });
  });
}

const attributesOf = ({ mode, uid, gid, size, atimeMs, mtimeMs }: Awaited<ReturnType<typeof fs.stat>>) => ({
  mode: Number(mode),
  uid: Number(uid),
  gid: Number(gid),
  size: Number(size),
  atime: Math.floor(Number(atimeMs) / 1000),
  mtime: Math.floor(Number(mtimeMs) / 1000),
});
