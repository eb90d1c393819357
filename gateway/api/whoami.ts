import type { App } from './server.js';

export function whoamiRoutes(app: App): void {
  app.get('/whoami', async ({ caller }) => {
    const { principal, expires_ms } = caller.identity;
    const { subject, issuer, kind, groups, purpose } = principal;
    return {
      subject,
      issuer,
      kind,
      groups,
      ...(purpose === undefined ? {} : { purpose }),
      roles: [...caller.roles],
      expires: new Date(expires_ms).toISOString(),
    };
  });
}
