import { plainText } from '../content/index.js';
import { describe, eventsOf, kept, type Described } from './folder.js';

/** Looks through recordings, by who and where they are from and by the words that stood on their screens. */
export interface RecordingQuery {
  readonly principal?: string;
  readonly issuer?: string;
  readonly target?: string;
  readonly session?: string;
  /** When it began, in milliseconds since the epoch: not before, and before. */
  readonly since_ms?: number;
  readonly until_ms?: number;
  /** In what was shown or sent, whatever its case; escape sequences do not count. */
  readonly text?: string;
}

export interface Match {
  readonly seconds: number;
  /** The line that it stands in. */
  readonly line: string;
}

export interface FoundRecording {
  readonly recording: Described;
  /** Where the text stands, at most `matches_max`; empty where none was asked for. */
  readonly matches: readonly Match[];
}

const matches_max = 20;
const line_units_max = 4_096;
const shown_units_max = 240;

/** Newest first. */
export async function* searchRecordings(
  folder: string,
  query: RecordingQuery,
  { limit, signal }: { readonly limit: number; readonly signal?: AbortSignal },
): AsyncGenerator<FoundRecording> {
  let count = 0;
  for (const { id } of await kept(folder)) {
    if (count >= limit) return;
    signal?.throwIfAborted();
    const recording = await describe(folder, id);
    if (recording === undefined || !isFrom(recording, query)) continue;
    // What was transferred was on no screen.
    if (query.text !== undefined && recording.kind === 'copy') continue;
    const matches = query.text === undefined ? [] : await matchesIn(recording.file, query.text, signal);
    if (query.text !== undefined && matches.length === 0) continue;
    count += 1;
    yield { recording, matches };
  }
}

function isFrom({ header: { sallyport, timestamp } }: Described, query: RecordingQuery): boolean {
  const { principal, issuer, target, session, since_ms, until_ms } = query;
  const began_ms = timestamp * 1_000;
  return (
    (principal === undefined || sallyport.principal.subject === principal) &&
    (issuer === undefined || sallyport.principal.issuer === issuer) &&
    (target === undefined || sallyport.target === target) &&
    (session === undefined || sallyport.session === session) &&
    (since_ms === undefined || began_ms >= since_ms) &&
    (until_ms === undefined || began_ms < until_ms)
  );
}

/** By lines: each is looked at once it is whole. */
async function matchesIn(file: string, text: string, signal: AbortSignal | undefined): Promise<Match[]> {
  const wanted = text.toLowerCase();
  const found: Match[] = [];
  let line = '';
  let began = 0;
  const look = (seconds: number) => {
    if (line.toLowerCase().includes(wanted)) found.push({ seconds, line: line.trim().slice(0, shown_units_max) });
  };
  for await (const [seconds, code, said] of eventsOf(file)) {
    signal?.throwIfAborted();
    if (code === 'r' || code === 'x') continue;
    const [first = '', ...rest] = plainText(said).split(/[\r\n]+/u);
    if (line === '') began = seconds;
    line += first;
    for (const next of rest) {
      look(began);
      line = next;
      began = seconds;
    }
    if (line.length > line_units_max) {
      look(began);
      // What stands over the cut is found in the next part.
      line = line.slice(-wanted.length);
    }
    if (found.length >= matches_max) break;
  }
  look(began);
  return found.slice(0, matches_max);
}
