import { execFileSync, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePort, run } from '../processes.js';

/** Proxies that others have made, where they are installed: each as one thread that ends TLS and keeps connections to the server. */

export interface Between {
  readonly folder: string;
  readonly processes: ChildProcess[];
  /** Files of PEM; `both` has one behind the other. */
  readonly certificate: string;
  readonly key: string;
  readonly both: string;
  /** Of the server, in clear. */
  readonly upstream: number;
}

export interface Other {
  readonly name: string;
  readonly pid: number | undefined;
  readonly port: number;
}

const nginx = ({ folder, certificate, key, upstream }: Between, port: number) => `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx.log warn;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  keepalive_requests 1000000000;
  upstream behind { server 127.0.0.1:${String(upstream)}; keepalive 64; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${String(port)} ssl;
    ssl_certificate ${certificate};
    ssl_certificate_key ${key};
    location / {
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
}
`;

const haproxy = ({ both, upstream }: Between, port: number) => `
global
  nbthread 1
defaults
  mode http
  timeout connect 10s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend clients
  bind 127.0.0.1:${String(port)} ssl crt ${both}
  default_backend behind
backend behind
  server only 127.0.0.1:${String(upstream)}
`;

const known = [
  { name: 'nginx', version: ['-v'], configuration: nginx, start: (file: string) => ['-c', file] },
  { name: 'haproxy', version: ['-v'], configuration: haproxy, start: (file: string) => ['-db', '-f', file] },
] as const;

/** Those that are installed, started. */
export async function startOthers(between: Between): Promise<Other[]> {
  const started: Other[] = [];
  for (const { name, version, configuration, start } of known) {
    if (!isInstalled(name, version)) continue;
    const port = await freePort();
    const file = join(between.folder, `${name}.conf`);
    await writeFile(file, configuration(between, port));
    const child = run(between.processes, name, start(file));
    await listens(child, port);
    started.push({ name, pid: child.pid, port });
  }
  return started;
}

function isInstalled(name: string, version: readonly string[]): boolean {
  try {
    execFileSync(name, version, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const start_ms_max = 30_000;
const between_ms = 50;

/** These say nothing once they listen. */
async function listens(child: ChildProcess, port: number): Promise<void> {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-2_000)));
  child.stdout?.resume();
  for (const until = Date.now() + start_ms_max; ;) {
    if (await accepts(port)) return;
    if (child.exitCode !== null || Date.now() > until) throw new Error(`${child.spawnfile} did not start:\n${said}`);
    await new Promise((resolve) => setTimeout(resolve, between_ms));
  }
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
