/** 127.0.0.0/8, ::1 and the name that means them. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.[0-9]{1,3}){3}$/u.test(host);
}
