import {
  actions,
  createEngine,
  noUsage,
  PolicyLoadError,
  type Action,
  type Input,
  type Layer,
  type Revision,
  type RuleDescription,
} from '#engine';
import type { Asked } from './coverage.js';
import type { Problem } from './error.js';

/**
 * What anybody may do: found by asking the policy, as a principal without groups, roles and purpose, about a resource that
 * nobody has. An allow there depends on nothing that tells people or things apart.
 */
const kinds = ['agent', 'human', 'service'] as const;
/** To be let in, and to move one's own session, is what many allow everybody on purpose. */
const asked = actions.filter((action) => action !== 'connect' && action !== 'session');

const time = '2000-01-01T00:00:00.000Z';

const accesses: Partial<Record<Action, string>> = {
  ...{ read: 'read', write: 'update', delete: 'delete' },
  ...{ execute: 'execute', define: 'define', administer: 'administer' },
};

function inputOf({ protocol, action, kind, target }: Asked, purpose?: string): Input {
  return {
    ...{ version: 1, time, usage: noUsage },
    principal: {
      ...{ subject: 'anybody', issuer: 'anybody', kind: kind as (typeof kinds)[number], groups: [], roles: [] },
      ...{ attributes: {}, token: { expires: time }, ...(purpose !== undefined && { purpose }) },
    },
    session: { id: 'check', started: time, client: { address: '192.0.2.1' }, rows: 0, taint: [] },
    target: { name: target, protocol, labels: {} },
    operation: {
      // What is carried elsewhere does there what nobody here can know.
      ...{ stage: 'execute', action, opaque: action === 'transfer', hash: '0'.repeat(64) },
      resources: [{ type: 'relation', name: 'any.thing', access: (accesses[action] ?? 'use') as 'read' }],
    },
  };
}

/** The policy as it would be asked. @param base What it stands upon. Throws PolicyLoadError. */
export const onTrial = (layer: Layer, base?: Layer): Promise<Revision> =>
  createEngine().prepare('check', base === undefined ? [layer] : [base, layer]);

/** What is said of a policy that cannot be asked. */
export function trialFailed(error: unknown): Problem {
  if (!(error instanceof PolicyLoadError)) throw error;
  const help = 'A gateway would leave the last good revision in force.';
  return { code: 'trial_failed', message: error.message, help };
}

/** Whether a rule refuses it with a reason of its own, whatever the groups and roles. */
export function refusesWithReason(revision: Revision, layer: Layer, asked: Asked): boolean {
  const { outcome, reasons } = revision.decide(inputOf(asked, 'any purpose'));
  return outcome === 'deny' && reasons.some(({ code, rule }) => layer.manifest.rules.some((one) => one.code === code && one.package === rule)); // prettier-ignore
}

export function wideAllows(revision: Revision, layer: Layer): Problem[] {
  const found = new Map<string, { rule: RuleDescription; what: Set<string> }>();
  for (const protocol of layer.manifest.packages.filter((name) => name !== 'all'))
    for (const action of asked)
      for (const kind of kinds) {
        const { outcome, reasons } = revision.decide(inputOf({ protocol, action, kind, target: 'any-target' }));
        if (outcome !== 'allow') continue;
        for (const { code, rule: owner } of reasons) {
          const rule = layer.manifest.rules.find((one) => one.code === code && one.package === owner);
          if (rule === undefined) continue;
          const known = found.get(`${owner}\n${code}`) ?? { rule, what: new Set<string>() };
          found.set(`${owner}\n${code}`, { rule, what: known.what.add(`${action} (${protocol})`) });
        }
      }
  return [...found.values()].map(({ rule: { code, file, line }, what }) => ({
    code: 'wide_allow',
    message: `allow ${JSON.stringify(code)} lets a principal without groups, roles and purpose do this with whatever there is: ${[...what].join(', ')}`,
    help: 'Say who may (input.principal.groups or roles), or of what (input.operation.resources).',
    ...{ file, line },
  }));
}

/** Protocols that have rules here and none in the base: nothing there is allowed, whatever these say. */
export function inVain(layer: Layer, base: Layer): Problem[] {
  const spoken = base.manifest.packages;
  if (spoken.includes('all')) return [];
  return layer.manifest.packages
    .filter((name) => name !== 'all' && !spoken.includes(name))
    .flatMap((name) => {
      const rule = layer.manifest.rules.find(
        (one) => one.package === `policy.${name}` && (one.set === 'allow' || one.set === 'approval'),
      );
      if (rule === undefined) return [];
      return {
        code: 'base_silent',
        message: `the base has no rule for ${name}, and refuses all of it: whatever policy.${name} allows is in vain`,
        help: `Ask for an allow in package policy.${name} or policy.all of the base.`,
        ...{ file: rule.file, line: rule.line },
      };
    });
}
