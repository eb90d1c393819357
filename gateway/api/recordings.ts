import { searchAudit } from '../audit/index.js';
import {
  decisionOf,
  openRecording,
  recordingOf,
  searchRecordings,
  standingOf,
  type FoundRecording,
  type OpenRecording,
  type RecordedDigest,
  type RecordingQuery,
  type Standing,
} from '../recordings/index.js';
import { demand, type Caller } from './caller.js';
import type { ApiParts } from './parts.js';
import { notFound, Problem } from './problem.js';
import { recordAct } from './record.js';
import { collect, instant, searching, text } from './searching.js';
import type { App } from './server.js';

/**
 * What was recorded of screens, and copies of what was transferred. It shows what a host answered, so it is for whoever may look through the audit; to have been the
 * one that it was recorded of is no reason: they may have had another role or purpose then. Looking into it is written down first.
 */

const found_max = 200;
const plays_atOnce_max = 8;
/** For one recording to be read to its end. */
const play_ms_max = 600_000;
/** An outcome comes behind the beginning of its recording, by clocks that may have been set. */
const clock_ms = 300_000;

const querySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    principal: text,
    issuer: text,
    target: text,
    session: text,
    text,
    since: instant,
    until: instant,
    limit: { type: 'string', pattern: '^[0-9]{1,3}$' },
  },
};

type ListQuery = Partial<Record<keyof (typeof querySchema)['properties'], string>>;

export function recordingRoutes(app: App, parts: ApiParts): void {
  const bounded = searching();
  let plays = 0;
  const folder = () => {
    if (parts.recordings !== undefined) return parts.recordings;
    throw new Problem(404, 'unknown', 'nothing is recorded here: the gateway\'s configuration has no "recordings"');
  };

  app.get<{ Querystring: ListQuery }>(
    '/recordings',
    { schema: { querystring: querySchema } },
    async ({ caller, query }) => {
      demand(caller, 'auditor');
      const where = folder();
      const limit = Math.min(Number(query.limit ?? 50), found_max);
      return bounded(async (signal) => {
        // What is found are words that stood on a screen: that is looking at it.
        if (query.text !== undefined) await recordAct(parts.audit, caller, 'recording_search', {}, { query });
        const found: ReturnType<typeof shownOf>[] = [];
        const search = searchRecordings(where, readQuery(query), { limit, signal });
        const complete = await collect(search, signal, (one) => found.push(shownOf(one)));
        return { found, complete };
      });
    },
  );

  app.get<{ Params: { id: string } }>('/recordings/:id', async ({ caller, params }, reply) => {
    demand(caller, 'auditor');
    const where = folder();
    if (plays >= plays_atOnce_max)
      throw new Problem(429, 'too_many', 'too many recordings are being read; try again in a moment', {
        'retry-after': '2',
      });
    plays += 1;
    let opened: OpenRecording | undefined;
    let standing: Standing;
    try {
      opened = await openRecording(where, recordingOf(params.id));
      if (opened === undefined) throw notFound('recording');
      const found = opened;
      standing = await bounded((signal) => compared(found, parts, signal));
      await recordPlay(parts, caller, opened, standing);
    } catch (error) {
      plays -= 1;
      await opened?.handle.close().catch(() => undefined);
      throw error;
    }
    // From here on the stream closes the file, however it ends.
    const content = opened.content();
    const left_ms = Math.max(0, Math.min(play_ms_max, caller.identity.expires_ms - parts.now()));
    const timer = setTimeout(() => content.destroy(), left_ms).unref();
    content.once('close', () => {
      clearTimeout(timer);
      plays -= 1;
    });
    return reply
      .header('content-length', String(opened.bytes))
      .header('sallyport-recording', standing)
      .type(opened.recording.kind === 'copy' ? 'application/octet-stream' : 'application/x-asciicast')
      .send(content);
  });
}

/** Throws AuditError where it cannot be written down: then nothing is shown. */
const recordPlay = (parts: ApiParts, caller: Caller, { recording }: OpenRecording, standing: Standing) => {
  const { id, kind, header } = recording;
  const { target, principal } = header.sallyport;
  return recordAct(
    parts.audit,
    caller,
    kind === 'copy' ? 'copy_read' : 'recording_play',
    { recording: id, target, standing },
    { principal },
  );
};

/** By what the outcome of its decision says of it. */
async function compared(opened: OpenRecording, parts: ApiParts, signal: AbortSignal): Promise<Standing> {
  const { id, header } = opened.recording;
  const query = {
    decision_id: decisionOf(id),
    kinds: ['intent'] as const,
    since_ms: header.timestamp * 1_000 - clock_ms,
  };
  let recorded: RecordedDigest | undefined;
  const search = searchAudit(await parts.auditFiles(), query, { limit: 1, signal });
  await collect(search, signal, ({ outcome }) => (recorded = digestIn(outcome?.['result'], id)));
  return standingOf(opened, recorded, signal);
}

function digestIn(result: unknown, id: string): RecordedDigest | undefined {
  const { recording, copy } = (result ?? {}) as Partial<
    Record<'recording' | 'copy', Partial<RecordedDigest & { id: string }>>
  >;
  const recorded = id.startsWith('c-') ? copy : recording;
  if (recorded?.id !== id || typeof recorded.sha256 !== 'string' || typeof recorded.bytes !== 'number')
    return undefined;
  return { sha256: recorded.sha256, bytes: recorded.bytes, complete: recorded.complete === true };
}

function readQuery({ since, until, principal, issuer, target, session, text: words }: ListQuery): RecordingQuery {
  return {
    ...(principal && { principal }),
    ...(issuer && { issuer }),
    ...(target && { target }),
    ...(session && { session }),
    ...(words && { text: words }),
    ...(since && { since_ms: Date.parse(since) }),
    ...(until && { until_ms: Date.parse(until) }),
  };
}

/** What people and programs are shown of one: nothing of where it is kept. */
function shownOf({ recording, matches }: FoundRecording) {
  const { id, kind, bytes, seconds, exit, header } = recording;
  const { decision, session, target, protocol, principal, purpose, request, terminal, masked } = header.sallyport;
  return {
    ...{ id, kind, decision, session, target, protocol, principal, request, terminal, masked, seconds, bytes },
    ...(purpose === undefined ? {} : { purpose }),
    ...(header.command === undefined ? {} : { command: header.command }),
    ...(recording.kind === 'recording' || recording.header.path === undefined ? {} : { path: recording.header.path }),
    ...(exit === undefined ? {} : { exit }),
    started: new Date(header.timestamp * 1_000).toISOString(),
    matches,
  };
}

/** One of the list. */
export type ListedRecording = ReturnType<typeof shownOf>;
