import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { TestGateway } from '../support/gateway.js';
import { fields, message, WireError, type Frame, type Value, type WireClient } from '../support/wire.js';

/** What stands in attempts.yaml and legitimate.yaml, and how it is run. */
export interface Attempt {
  readonly name: string;
  /** Further groups of the principal, beside `agents`. */
  readonly as?: string;
  /** Start-up parameters. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** A statement that is tried in the simple and, on a connection of its own, in the extended protocol. */
  readonly sql?: string;
  /** Or steps, of which all but the last must work. */
  readonly steps?: readonly Step[];
  /** The SQLSTATE of the last step's error where it isn't 42501 with a decision in its DETAIL. */
  readonly code?: string;
  /** Any step may be refused, and the last may work: what counts is that no secret comes of it. */
  readonly mayFail?: boolean;
  /** SQL by which the database's owner undoes what a `direct` step did. */
  readonly undo?: string;
  /** Legitimate ones: the first value of the first row, where that is worth a look. */
  readonly gives?: string | null;
}

/**
 * A string is a simple query. `extended` is Parse, Bind, Execute, Sync; `pipeline` puts several into one batch;
 * `batches` are batches sent in one go; `queries` are simple queries sent in one go; `wire` is messages one by one;
 * `direct` runs behind the gateway, as the database's owner.
 */
export type Step =
  | string
  | { readonly extended: string; readonly values?: readonly Value[] }
  | { readonly pipeline: readonly string[] }
  | { readonly batches: readonly (readonly string[])[] }
  | { readonly queries: readonly string[] }
  | { readonly wire: readonly WireStep[] }
  | { readonly direct: string };

export type WireStep = readonly [string, ...(string | number | null | readonly Value[])[]];

export function readAttempts(file: string): Attempt[] {
  return parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as Attempt[];
}

export interface Outcome {
  /** The answer to the last step; or the error that refused the sign-in. */
  readonly error: Readonly<Record<string, string>> | undefined;
  /** Errors of earlier steps: the attempt itself went wrong. */
  readonly early: readonly Readonly<Record<string, string>>[];
  /** Everything that the client was sent. */
  readonly frames: readonly Frame[];
  /** The answer to the last step alone. */
  readonly last: readonly Frame[];
}

/** Runs the steps on a connection of their own. */
export async function run(
  gateway: TestGateway,
  attempt: Attempt,
  steps: readonly Step[],
  direct: (sql: string) => Promise<unknown>,
): Promise<Outcome> {
  let client: WireClient | undefined;
  const early: Readonly<Record<string, string>>[] = [];
  let last: Frame[] = [];
  try {
    for (const [index, step] of [...steps, undefined].entries()) {
      if (typeof step === 'object' && 'direct' in step) {
        await direct(step.direct);
        continue;
      }
      client ??= await gateway.open({
        token: { groups: ['agents', ...(attempt.as === undefined ? [] : [attempt.as])] },
        ...(attempt.parameters === undefined ? {} : { parameters: attempt.parameters }),
      });
      if (step === undefined) break;
      last = await answer(client, step);
      const error = firstError(last);
      if (error !== undefined && index < steps.length - 1) early.push(error);
    }
    return { error: firstError(last), early, frames: [...(client?.received ?? [])], last };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return { error: error.fields, early, frames: [], last: [] };
  } finally {
    client?.socket.destroy();
    if (attempt.undo !== undefined) await direct(attempt.undo);
  }
}

function firstError(frames: readonly Frame[]): Record<string, string> | undefined {
  const frame = frames.find(({ type }) => type === 'E');
  return frame === undefined ? undefined : fields(frame.body);
}

/** Sends a step and reads until it is answered, or until the connection has ended. */
async function answer(client: WireClient, step: Exclude<Step, { direct: string }>): Promise<Frame[]> {
  const parts = messages(step);
  client.sendRaw(...parts);
  const expected = parts.filter((part) => part[0] === 0x51 || part[0] === 0x53).length;
  const frames: Frame[] = [];
  for (let ready = 0; ready < expected;) {
    const frame = await client.read().catch(() => undefined);
    if (frame === undefined) break;
    frames.push(frame);
    if (frame.type === 'Z') ready += 1;
  }
  return frames;
}

const batch = (statements: readonly string[]): Buffer[] => [
  ...statements.flatMap((sql) => [message.parse(sql), message.bind(), message.execute()]),
  message.sync(),
];

function messages(step: Exclude<Step, { direct: string }>): Buffer[] {
  if (typeof step === 'string') return [message.query(step)];
  if ('queries' in step) return step.queries.map((sql) => message.query(sql));
  if ('pipeline' in step) return batch(step.pipeline);
  if ('batches' in step) return step.batches.flatMap(batch);
  if ('wire' in step) return step.wire.map(wireMessage);
  const values = step.values ?? [];
  return [message.parse(step.extended), message.bind(values), message.execute(), message.sync()];
}

function wireMessage([kind, first = '', second = '', third]: WireStep): Buffer {
  const one = String(first);
  const two = String(second);
  switch (kind) {
    case 'query':
      return message.query(one);
    case 'parse':
      return message.parse(two, one);
    case 'bind':
      return message.bind((third ?? []) as Value[], { portal: one, statement: two });
    case 'execute':
      return message.execute(one, second === '' ? 0 : Number(second));
    case 'describe':
      return message.describe(one as 'S' | 'P', two);
    case 'close':
      return message.close(one as 'S' | 'P', two);
    case 'data':
      return message.copyData(one);
    case 'done':
      return message.copyDone();
    case 'call':
      return message.functionCall(Number(one));
    case 'flush':
      return message.flush();
    case 'sync':
      return message.sync();
    default:
      throw new Error(`attempts know no message ${kind}`);
  }
}
