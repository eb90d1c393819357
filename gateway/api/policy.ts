import type { PolicyStatus } from '../../bundles/index.js';
import type { ApiParts } from './parts.js';
import { linked } from './rules.js';
import { demand } from './caller.js';
import { policyMetrics } from './metrics.js';
import { notFound } from './problem.js';
import type { App } from './server.js';

const shownBase = ({ revision, since, commit, restored, pinned, last, history, source }: PolicyStatus) => ({
  ...{ revision, since, commit, restored, pinned, last, history, source },
});

export function policyRoutes(app: App, { policy, policyLink }: ApiParts): void {
  app.get('/policy', async ({ caller }) => {
    demand(caller, 'auditor');
    const status = policy.status();
    const { revision, since, commit, restored, pinned, last, history, source } = status;
    const rules = linked(policy.rules(), policyLink, status);
    const base = policy.base?.();
    // Where the state is out of reach, nobody knows of others; what is in force here is shown all the same.
    const replicas = await policy.others?.().catch(() => undefined);
    return {
      in_force: policy.inForce(),
      revision,
      since,
      commit,
      restored,
      pinned,
      last,
      history,
      source,
      rules,
      ...(base === undefined ? {} : { base: shownBase(base) }),
      ...(replicas === undefined ? {} : { replicas }),
      tried: policy.shadow?.() !== undefined,
    };
  });

  app.get('/policy/shadow', async ({ caller }) => {
    demand(caller, 'auditor');
    const shadow = policy.shadow?.();
    if (shadow === undefined) throw notFound('shadow');
    const { revision, since, commit, last, source, history } = shadow.status;
    return { revision, since, commit, last, source, history, report: shadow.report };
  });

  // Where OPA has it, and in the same envelope: https://www.openpolicyagent.org/docs/latest/rest-api/#status-api
  app.get('/status', async ({ caller }) => {
    demand(caller, 'auditor');
    return { result: policy.asOpa() };
  });

  // For Prometheus, with an auditor's token: text exposition format 0.0.4.
  app.get('/metrics', async ({ caller }, reply) => {
    demand(caller, 'auditor');
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(policyMetrics(policy));
  });
}
