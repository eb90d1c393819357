import type { RuleDescription } from '#engine';
import {
  findDecision,
  searchAudit,
  type AuditQuery,
  type AuditRecord,
  type Found,
  type RecordKind,
} from '../audit/index.js';
import type { ApiParts } from './parts.js';
import { demand } from './caller.js';
import { maySeeDecision } from './access.js';
import { notFound } from './problem.js';
import { linked } from './rules.js';
import { collect, instant, searching, text } from './searching.js';
import type { App } from './server.js';

const found_max = 200;
const counted_max = 50_000;

const querySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    kind: text,
    session: text,
    within: text,
    prompt: text,
    principal: text,
    purpose: text,
    target: text,
    resource: text,
    code: text,
    decision: { type: 'string', enum: ['allow', 'deny', 'hold'] },
    outcome: { type: 'string', enum: ['ok', 'error', 'cancelled', 'lost', 'none'] },
    since: instant,
    until: instant,
    limit: { type: 'string', pattern: '^[0-9]{1,3}$' },
  },
};

type SearchQuery = Partial<Record<keyof (typeof querySchema)['properties'], string>>;

export function auditRoutes(app: App, parts: ApiParts): void {
  const bounded = searching();

  app.get<{ Querystring: SearchQuery }>(
    '/audit',
    { schema: { querystring: querySchema } },
    async ({ caller, query }) => {
      demand(caller, 'auditor');
      const limit = Math.min(Number(query.limit ?? 50), found_max);
      return bounded(async (signal) => {
        const found: Found[] = [];
        const search = searchAudit(await parts.auditFiles(), readQuery(query), { limit, signal });
        const complete = await collect(search, signal, (one) => found.push(one));
        return { found, complete };
      });
    },
  );

  app.get<{ Params: { id: string } }>('/decisions/:id', async ({ caller, params }) =>
    bounded(async () => {
      const found = await findDecision(await parts.auditFiles(), params.id);
      if (found === undefined || !maySeeDecision(caller, found.records)) throw notFound('decision');
      const status = parts.policy.status();
      const rules = rulesOf(found.records, parts.policy.rules(), parts.policy.inForce());
      return { ...found, rules: linked(rules, parts.policyLink, status) };
    }),
  );

  app.get<{ Querystring: { hours?: string } }>(
    '/counts',
    {
      schema: {
        querystring: {
          type: 'object',
          additionalProperties: false,
          properties: { hours: { type: 'string', pattern: '^([1-9]|1[0-9]|2[0-4])$' } },
        },
      },
    },
    async ({ caller, query }) => {
      demand(caller, 'auditor');
      const hours = Number(query.hours ?? 24);
      return bounded(async (signal) => counts(await parts.auditFiles(), hours, parts.now(), signal));
    },
  );
}

function readQuery(query: SearchQuery): AuditQuery {
  const { kind, session, within, prompt, principal, purpose, target, resource, code, decision, outcome, since, until } =
    query;
  return {
    ...(kind && { kinds: kind.split(',') as RecordKind[] }),
    ...(session && { session_id: session }),
    ...(within && { within }),
    ...(prompt && { prompt }),
    ...(principal && { principal }),
    ...(purpose && { purpose }),
    ...(target && { target }),
    ...(resource && { resource }),
    ...(code && { code }),
    ...(decision && { decision: decision as NonNullable<AuditQuery['decision']> }),
    ...(outcome && { outcome: outcome as NonNullable<AuditQuery['outcome']> }),
    ...(since && { since_ms: Date.parse(since) }),
    ...(until && { until_ms: Date.parse(until) }),
  };
}

/** Where the rules that a decision names stand; only while its revision is the one in force, whose rules are at hand. */
function rulesOf(
  records: readonly AuditRecord[],
  rules: readonly RuleDescription[],
  revision: string | undefined,
): RuleDescription[] {
  if (!records.some((record) => record['revision'] === revision)) return [];
  const codes = new Set(
    records.flatMap((record) => {
      const result = record['result'] as Record<string, unknown> | undefined;
      return ['reasons', 'masks', 'filters', 'approvals'].flatMap((part) => {
        const list = result?.[part];
        return Array.isArray(list) ? list.map((one: { code?: unknown } | null) => one?.code) : [];
      });
    }),
  );
  return rules.filter(({ code }) => codes.has(code));
}

/** Operations by outcome in each part of the last hours, newest last. */
async function counts(files: readonly string[], hours: number, now_ms: number, signal: AbortSignal) {
  const parts = 48;
  const part_ms = (hours * 3_600_000) / parts;
  const since_ms = now_ms - hours * 3_600_000;
  const slots = Array.from({ length: parts }, (_, index) => ({
    from: new Date(since_ms + index * part_ms).toISOString(),
    allow: 0,
    deny: 0,
    hold: 0,
  }));
  let counted = 0;
  let oldest = '';
  const search = searchAudit(files, { kinds: ['intent'], since_ms }, { limit: counted_max, signal });
  const complete = await collect(search, signal, ({ record }) => {
    const slot = slots[Math.floor((Date.parse(record.timestamp) - since_ms) / part_ms)];
    const outcome = (record['result'] as { outcome?: unknown } | undefined)?.outcome;
    counted += 1;
    oldest = record.timestamp;
    if (slot !== undefined && (outcome === 'allow' || outcome === 'deny' || outcome === 'hold')) slot[outcome] += 1;
  });
  const whole = complete && counted < counted_max;
  return { slots, complete: whole, ...(whole ? {} : { since: oldest }) };
}
