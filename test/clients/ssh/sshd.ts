import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fingerprintOf } from '../../../gateway/protocols/ssh/hostkeys.js';
import { makeKey, utils } from '../../../gateway/protocols/ssh/library.js';

/** OpenSSH's own server, as whoever runs the tests: one process for each connection, on a port that was free. */
export interface Sshd {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly fingerprint: string;
  /** A line for known_hosts. */
  readonly known: string;
  /** Of whom it lets in, in OpenSSH's form. */
  readonly privateKey: string;
  /** How often somebody connected. */
  readonly connections: () => number;
  /** Its processes that run now. */
  readonly running: ReadonlySet<ChildProcess>;
  close(): Promise<void>;
}

export const sshdPath = '/usr/sbin/sshd';

/**
 * @param folder A scratch folder for its keys and configuration.
 * @param more Further lines of the configuration.
 */
export async function startSshd(folder: string, more: readonly string[] = []): Promise<Sshd> {
  const hostKeys = makeKey();
  const userKeys = makeKey();
  const place = (name: string) => join(folder, name);
  await writeFile(place('host_key'), hostKeys.private, { mode: 0o600 });
  await writeFile(place('authorized_keys'), `${userKeys.public}\n`, { mode: 0o600 });
  await writeFile(
    place('sshd_config'),
    [
      `HostKey ${place('host_key')}`,
      `AuthorizedKeysFile ${place('authorized_keys')}`,
      'StrictModes no',
      'UsePAM no',
      'PasswordAuthentication no',
      'PermitRootLogin yes',
      'AllowTcpForwarding yes',
      'AllowStreamLocalForwarding yes',
      'StreamLocalBindUnlink yes',
      'MaxSessions 100',
      'PrintMotd no',
      'PrintLastLog no',
      'AcceptEnv LANG LC_*',
      'Subsystem sftp internal-sftp',
      'LogLevel ERROR',
      ...more,
    ].join('\n'),
  );
  await chmod(folder, 0o755);
  // What a daemon that was installed has made for it at the machine's start.
  if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true });
  const running = new Set<ChildProcess>();
  let connections = 0;
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    connections += 1;
    const child = spawn(sshdPath, ['-i', '-e', '-f', place('sshd_config')], { stdio: [socket, socket, 'ignore'] });
    running.add(child);
    child.once('close', () => running.delete(child));
    socket.on('error', () => undefined);
    // The child has it now.
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const parsed = utils.parseKey(hostKeys.public);
  if (parsed instanceof Error) throw parsed;
  return {
    host: '127.0.0.1',
    port,
    user: userInfo().username,
    fingerprint: fingerprintOf(parsed.getPublicSSH()),
    known: `[127.0.0.1]:${port} ${hostKeys.public}`,
    privateKey: userKeys.private,
    connections: () => connections,
    running,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const child of running) child.kill('SIGKILL');
      await closed;
    },
  };
}
