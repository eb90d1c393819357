const names: ReadonlySet<string> = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** Whether http:// of this URL stays on this machine, read as whoever asks will: http://localhost:80@example.com does not. */
export function isPlainOnLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && names.has(hostname);
}
