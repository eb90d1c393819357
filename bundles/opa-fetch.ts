import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { codeOf, messageOf, refusal } from './error.js';

/**
 * Fetches the pinned `opa` once: built by `go install` where Go is there (the module's checksum is Go's to verify,
 * against its public log), else the official release, verified against a pinned SHA-256. A file appears under its
 * final name only when it is whole and right.
 */

/** SHA-256 of the release assets of `pinnedVersion`, by asset name. An asset that is not listed is never trusted. */
const releaseChecksums: Readonly<Record<string, string>> = {};

const releases = 'https://github.com/open-policy-agent/opa/releases/download';
const asset_bytes_max = 256 * 1024 * 1024;
const install_ms_max = 15 * 60_000;
const lock_poll_ms = 250;

export interface FetchOptions {
  /** Where it is put. */
  readonly file: string;
  readonly version: string;
  readonly env: NodeJS.ProcessEnv;
  readonly progress: (message: string) => void;
}

export async function fetchOpa(options: FetchOptions): Promise<void> {
  const folder = path.dirname(options.file);
  await mkdir(folder, { recursive: true });
  const unlock = await lock(`${options.file}.lock`, options.progress);
  try {
    // Somebody else may have fetched it while this process waited.
    if (await exists(options.file)) return;
    const scratch = await mkdtemp(path.join(folder, 'fetch-'));
    try {
      const fetched = await install(scratch, options);
      await chmod(fetched, 0o755);
      await rename(fetched, options.file);
      options.progress(`opa ${options.version} is in ${options.file}`);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  } finally {
    await unlock();
  }
}

async function install(scratch: string, options: FetchOptions): Promise<string> {
  const go =
    options.env['SALLYPORT_OPA_URL'] === undefined ? await firstExisting(onPath('go', options.env)) : undefined;
  if (go !== undefined) {
    try {
      return await goInstall(go, scratch, options);
    } catch (error) {
      options.progress(`go install failed (${firstLine(messageOf(error))}); trying the official release`);
    }
  }
  return download(scratch, options);
}

async function goInstall(go: string, scratch: string, { version, env, progress }: FetchOptions): Promise<string> {
  const module = `github.com/open-policy-agent/opa@v${version}`;
  progress(`Building the policy compiler once: go install ${module} (two to three minutes)`);
  const started = Date.now();
  const ticker = setInterval(
    () => progress(`  still building, ${Math.round((Date.now() - started) / 1000)} s`),
    15_000,
  );
  try {
    await new Promise<void>((resolve, reject) => {
      execFile(
        go,
        ['install', module],
        { env: goEnvironment(env, scratch), timeout: install_ms_max, maxBuffer: 1 << 24 },
        (error, _, stderr) => (error === null ? resolve() : reject(new Error(stderr.trim() || error.message))),
      );
    });
  } finally {
    clearInterval(ticker);
  }
  return path.join(scratch, process.platform === 'win32' ? 'opa.exe' : 'opa');
}

/** What Go needs of the environment, and no more: the gateway's own secrets are none of its business. */
function goEnvironment(env: NodeJS.ProcessEnv, scratch: string): NodeJS.ProcessEnv {
  const wanted =
    /^(PATH|HOME|TMPDIR|XDG_CACHE_HOME|GO[A-Z0-9]+|SSL_CERT_(FILE|DIR)|(HTTPS?|NO)_PROXY|SYSTEMROOT|LOCALAPPDATA)$/i;
  const kept = Object.fromEntries(Object.entries(env).filter(([name]) => wanted.test(name)));
  return {
    ...kept,
    // Go refuses GOBIN together with a foreign platform, and a foreign binary would be of no use.
    GOOS: '',
    GOARCH: '',
    GOBIN: scratch,
    GOFLAGS: `${kept['GOFLAGS'] ?? ''} -buildvcs=false`.trim(),
  };
}

/** The name of the official release file for a platform. Source: the project's release page. */
export function releaseAsset(platform: string, arch: string): string | undefined {
  const assets: Readonly<Record<string, string>> = {
    'linux/x64': 'opa_linux_amd64_static',
    'linux/arm64': 'opa_linux_arm64_static',
    'darwin/x64': 'opa_darwin_amd64',
    'darwin/arm64': 'opa_darwin_arm64_static',
    'win32/x64': 'opa_windows_amd64.exe',
  };
  return assets[`${platform}/${arch}`];
}

async function download(scratch: string, { version, env, progress }: FetchOptions): Promise<string> {
  const asset = releaseAsset(process.platform, process.arch);
  const help = `Install opa ${version} yourself and put it on PATH, or name it in SALLYPORT_OPA.`;
  if (asset === undefined) {
    throw refusal('opa_missing', `there is no official opa release for ${process.platform}/${process.arch}`, { help });
  }
  const url = `${(env['SALLYPORT_OPA_URL'] ?? releases).replace(/\/+$/, '')}/v${version}/${asset}`;
  const expected = (env['SALLYPORT_OPA_SHA256'] ?? releaseChecksums[asset])?.trim().toLowerCase();
  if (expected === undefined) {
    throw refusal(
      'opa_checksum',
      `opa is not installed, Go is not there to build it, and no checksum is pinned for ${asset} of opa ${version}`,
      {
        help: `${help} Or set SALLYPORT_OPA_SHA256 to the SHA-256 of ${url}, taken from a source that you trust.`,
      },
    );
  }
  if (!/^[0-9a-f]{64}$/.test(expected)) {
    throw refusal('opa_checksum', 'SALLYPORT_OPA_SHA256 is not a SHA-256: 64 hexadecimal digits are wanted');
  }
  progress(`Fetching the policy compiler once: ${url}`);
  const file = path.join(scratch, asset);
  let actual: string;
  try {
    actual = await save(url, file, progress);
  } catch (error) {
    throw refusal('opa_missing', `opa could not be fetched from ${url}: ${reasonOf(error)}`, { help, cause: error });
  }
  if (actual !== expected) {
    throw refusal('opa_checksum', `what ${url} gave has SHA-256 ${actual}, expected was ${expected}: thrown away`, {
      help,
    });
  }
  return file;
}

/** Streams a URL into a file; gives the SHA-256 of what it wrote. */
async function save(url: string, file: string, progress: (message: string) => void): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(install_ms_max) });
  if (!response.ok || response.body === null) throw new Error(`HTTP ${response.status}`);
  const total = Number(response.headers.get('content-length') ?? 0);
  const hash = createHash('sha256');
  const target = await open(file, 'wx', 0o600);
  let bytes = 0;
  let told = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > asset_bytes_max) throw new Error(`larger than ${asset_bytes_max} bytes`);
      hash.update(chunk);
      await target.write(chunk);
      const quarter = total > 0 ? Math.floor((bytes / total) * 4) : 0;
      if (quarter > told) {
        told = quarter;
        progress(`  ${told * 25} % of ${(total / 1024 / 1024).toFixed(1)} MB`);
      }
    }
  } finally {
    await target.close();
  }
  return hash.digest('hex');
}

/**
 * One process at a time: the lock is a file that holds its owner's process id. A lock whose owner is gone, or that is
 * older than a fetch may last, is taken over.
 */
async function lock(file: string, progress: (message: string) => void): Promise<() => Promise<void>> {
  for (let told = false; ;) {
    try {
      const handle = await open(file, 'wx');
      await handle.writeFile(String(process.pid));
      await handle.close();
      return () => rm(file, { force: true });
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    if (await abandoned(file)) {
      await rm(file, { force: true });
      continue;
    }
    if (!told) progress('Another process is fetching the policy compiler; waiting for it');
    told = true;
    await wait(lock_poll_ms);
  }
}

async function abandoned(file: string): Promise<boolean> {
  try {
    const age_ms = Date.now() - (await stat(file)).mtimeMs;
    const owner = Number(await readFile(file, 'utf8'));
    // An empty lock is one that is being written, unless it stays so.
    if (!Number.isInteger(owner) || owner <= 0) return age_ms > 5_000;
    return age_ms > 2 * install_ms_max || !alive(owner);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

async function firstExisting(files: readonly string[]): Promise<string | undefined> {
  for (const file of files) if (await exists(file)) return file;
  return undefined;
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    (found) => found.isFile(),
    () => false,
  );
const firstLine = (text: string): string => text.split('\n', 1)[0] ?? '';

/** `fetch` hides why it failed in the cause. */
function reasonOf(error: unknown): string {
  const cause = (error as { cause?: unknown } | null | undefined)?.cause;
  return cause === undefined ? messageOf(error) : `${messageOf(error)} (${messageOf(cause)})`;
}

/** Where a command stands on PATH. Relative entries are skipped: what stands in the current folder is not ours to run. */
export function onPath(command: string, env: NodeJS.ProcessEnv): string[] {
  const name = process.platform === 'win32' ? `${command}.exe` : command;
  return (env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, name));
}
