import { isSame, maySeeGrant } from './access.js';
import { needed, type ApiParts } from './parts.js';
import { demand } from './caller.js';
import { notFound } from './problem.js';
import { recordAct } from './record.js';
import type { App } from './server.js';

export function grantRoutes(app: App, parts: ApiParts): void {
  const approvers = () => needed(parts.approvers, 'grants');

  app.get('/grants', async ({ caller }) => {
    const grants = await approvers().grants();
    return { grants: grants.filter((grant) => maySeeGrant(caller, grant)) };
  });

  app.post<{ Params: { id: string } }>('/grants/:id/revoke', async ({ caller, params }) => {
    const grant = (await approvers().grants()).find(({ id }) => id === params.id);
    if (grant === undefined) throw notFound('grant');
    const gave = (await approvers().get(grant.hold))?.answers.some(({ by }) => isSame(by, caller.identity.principal));
    // Whoever gave it may take it back, and whom it serves may give it up.
    if (gave !== true && !isSame(grant.bound.principal, caller.identity.principal)) {
      if (!maySeeGrant(caller, grant)) throw notFound('grant');
      demand(caller, 'administrator');
    }
    await recordAct(parts.audit, caller, 'grant_revoke', { grant: grant.id, hold_id: grant.hold });
    return approvers().revoke(params.id, caller.identity);
  });
}
