import type { ApiParts } from './parts.js';
import { demand } from './caller.js';
import type { App } from './server.js';

export function policyRoutes(app: App, { policy }: ApiParts): void {
  app.get('/policy', async ({ caller }) => {
    demand(caller, 'auditor');
    const { revision, since, commit, restored, pinned, last, history, source } = policy.status();
    return { revision, since, commit, restored, pinned, last, history, source, rules: policy.rules() };
  });
}
