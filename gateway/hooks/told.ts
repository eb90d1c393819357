import type { ApprovalRequest } from '../approvals/approvals.js';

/**
 * What leaves the gateway about a request: the operation as it was observed, with what the audit withholds withheld, and the
 * prompt as it was claimed. Hashes of operations stay here: who knows the form of one could try values until one fits.
 */
export interface Told {
  readonly request: ApprovalRequest;
  /** The protocol's own part of the operation, as the audit holds it. */
  readonly recorded: unknown;
  /** False: people have to look at the gateway to see all that they would approve. */
  readonly whole: boolean;
  readonly link?: string;
}

/** Of the operation, as JSON. Larger ones are left out, and the link leads to them. */
const operation_bytes_max = 65_536;
const resources_max = 100;

export function toldOf(request: ApprovalRequest, recorded: unknown, link: string | undefined): Told {
  const own = request.operation?.[request.target.protocol];
  const text = JSON.stringify(recorded) ?? '';
  const fits = recorded !== undefined && text.length <= operation_bytes_max;
  return {
    request,
    recorded: fits ? recorded : undefined,
    whole: fits && text === JSON.stringify(own),
    ...(link === undefined ? {} : { link }),
  };
}

/** In our own form: docs/approvals.md has its fields. */
export function ownForm({ request, recorded, whole, link }: Told): Readonly<Record<string, unknown>> {
  const { principal, operation, prompt, target } = request;
  const time = (at_ms: number) => new Date(at_ms).toISOString();
  return {
    id: request.id,
    status: request.status,
    asked: time(request.asked_ms),
    expires: time(request.expires_ms),
    ...(request.ended_ms === undefined ? {} : { ended: time(request.ended_ms) }),
    ...(request.why === undefined ? {} : { why: request.why }),
    ...(link === undefined ? {} : { link }),
    decision_id: request.decision_id,
    revision: request.revision,
    ...(principal === undefined
      ? {}
      : {
          principal: {
            subject: principal.subject,
            issuer: principal.issuer,
            kind: principal.kind,
            ...(principal.purpose === undefined ? {} : { purpose: principal.purpose }),
            ...(principal.actor === undefined ? {} : { actor: principal.actor }),
          },
        }),
    ...(prompt === undefined ? {} : { claimed: { prompt } }),
    target: { name: target.name, protocol: target.protocol, labels: target.labels },
    ...(operation === undefined
      ? {}
      : {
          observed: {
            action: operation.action,
            opaque: operation.opaque,
            resources: operation.resources.slice(0, resources_max),
            ...(recorded === undefined ? {} : { [target.protocol]: recorded }),
            whole: whole && operation.resources.length <= resources_max,
          },
        }),
    approvals: request.approvals.map(({ code, groups, quorum, reason }) => ({ code, groups, quorum, reason })),
    ...(request.effect === undefined
      ? {}
      : {
          effect: {
            ...request.effect,
            relations: request.effect.relations.map(({ sample: _, ...counts }) => counts),
          },
        }),
    answers: request.answers.map(({ kind, by, at_ms, comment, break_glass, through }) => ({
      answer: kind,
      by,
      at: time(at_ms),
      ...(comment === undefined ? {} : { comment }),
      ...(break_glass === true ? { break_glass } : {}),
      through,
    })),
  };
}
