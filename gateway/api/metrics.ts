import type { Sending } from '../status/index.js';
import type { ApiParts } from './parts.js';

/** How the policy stands, for a monitoring system: https://prometheus.io/docs/instrumenting/exposition_formats/ */
export function policyMetrics(policy: ApiParts['policy']): string {
  const { last, since } = policy.status();
  const base = policy.base?.();
  const lines = [
    ...metric('sallyport_policy_info', 'gauge', 'The revision in force.', [
      [{ revision: policy.inForce() ?? 'none' }, 1],
    ]),
    ...metric('sallyport_policy_refused', 'gauge', '1 where the last change of the policy was refused.', [
      [{}, last?.ok === false ? 1 : 0],
    ]),
    ...(base === undefined
      ? []
      : metric(
          'sallyport_policy_base_refused',
          'gauge',
          "1 where the last change of the organisation's base was refused.",
          [[{}, base.last?.ok === false ? 1 : 0]],
        )),
    ...metric('sallyport_policy_since_seconds', 'gauge', 'When the revision in force came into force.', [
      [{}, since === undefined ? 0 : Date.parse(since) / 1000],
    ]),
  ];
  const sending = policy.sending?.();
  if (sending !== undefined) lines.push(...sendingMetrics(sending));
  const report = policy.shadow?.()?.report;
  if (report === undefined) return `${lines.join('\n')}\n`;
  const { operations, changed, dropped, canary, differences } = report;
  // They start anew with every other pair of revisions: a counter that is reset, as Prometheus knows them.
  const counted = { judged: operations, changed, dropped, canary };
  lines.push(
    ...metric(
      'sallyport_policy_shadow_operations',
      'counter',
      'Operations judged by the revision that is tried, decided otherwise, dropped, and enforced for the canary.',
      Object.entries(counted).map(([what, value]) => [{ what }, value]),
    ),
    ...metric(
      'sallyport_policy_shadow_differences',
      'counter',
      'What the revision that is tried would have decided otherwise.',
      differences.map(({ kind, rule, principal, target, count }) => [{ kind, rule, principal, target }, count]),
    ),
  );
  return `${lines.join('\n')}\n`;
}

const sendingMetrics = ({ sent, failed, failure }: Sending): string[] => [
  ...metric(
    'sallyport_policy_status_sends',
    'counter',
    'Attempts to send the status of the policy, by what came of them.',
    [
      [{ result: 'taken' }, sent],
      [{ result: 'failed' }, failed],
    ],
  ),
  ...metric('sallyport_policy_status_failing', 'gauge', '1 where the last attempt to send it failed.', [
    [{}, failure === undefined ? 0 : 1],
  ]),
];

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

function metric(name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): string[] {
  const written = type === 'counter' ? `${name}_total` : name;
  const sums = new Map<string, number>();
  for (const [labels, value] of samples) {
    const key = written + labelled(labels);
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return [
    `# HELP ${written} ${help}`,
    `# TYPE ${written} ${type}`,
    ...[...sums].map(([key, value]) => `${key} ${value}`),
  ];
}

function labelled(labels: Readonly<Record<string, string>>): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}

const escaped = (text: string): string => text.replace(/[\\"\n]/g, (found) => (found === '\n' ? '\\n' : `\\${found}`));
