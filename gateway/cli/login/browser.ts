import { spawn } from 'node:child_process';

/** Whether a page can be shown here: not over SSH, and not on a Linux machine without a screen. */
export function hasBrowser(env: NodeJS.ProcessEnv, platform: NodeJS.Platform = process.platform): boolean {
  if (env['SSH_CONNECTION'] || env['SSH_TTY']) return false;
  if (platform === 'darwin' || platform === 'win32') return true;
  return Boolean(env['DISPLAY'] || env['WAYLAND_DISPLAY']);
}

/** Shows a page in the person's browser. True where one was started: whether it shows the page, nobody is told. */
export function browse(url: string): boolean {
  if (!hasBrowser(process.env)) return false;
  const [command, ...words] = {
    darwin: ['open', url],
    // No shell: "&" in a URL would start a second command there.
    win32: ['rundll32', 'url.dll,FileProtocolHandler', url],
  }[process.platform as string] ?? ['xdg-open', url];
  const child = spawn(command as string, words, { stdio: 'ignore', detached: true });
  child.on('error', () => process.stderr.write(`Open this page to sign in:\n${url}\n`));
  child.unref();
  return true;
}
