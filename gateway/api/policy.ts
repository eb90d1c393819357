import type { ApiParts } from './parts.js';
import { linked } from './rules.js';
import { demand } from './caller.js';
import type { App } from './server.js';

export function policyRoutes(app: App, { policy, policyLink }: ApiParts): void {
  app.get('/policy', async ({ caller }) => {
    demand(caller, 'auditor');
    const status = policy.status();
    const { revision, since, commit, restored, pinned, last, history, source } = status;
    const rules = linked(policy.rules(), policyLink, status);
    return { revision, since, commit, restored, pinned, last, history, source, rules };
  });
}
