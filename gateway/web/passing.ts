import type { IncomingMessage, ServerResponse } from 'node:http';
import { guarding } from './answer.js';

/** An answer on its way to the client: its fields, and its bytes with back-pressure. */

/** Of one connection, or about the gateway's own origin: not for clients behind the gateway. */
const dropped: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['proxy-authenticate', 'proxy-authentication-info', 'www-authenticate', 'authentication-info'],
  ...['set-cookie', 'set-cookie2', 'clear-site-data', 'service-worker-allowed', 'alt-svc', 'refresh', 'nel'],
  ...[
    'report-to',
    'reporting-endpoints',
    'strict-transport-security',
    'public-key-pins',
    'content-security-policy-report-only',
  ],
]);
const droppedBeginnings = ['access-control-', 'x-sallyport-'];

/** The fields that the client gets, in the order in which they came; those of the gateway's own last. */
export function answerFields(
  raw: readonly string[],
  change: (name: string, value: string) => string | undefined,
): [string, string][] {
  const named = new Set<string>();
  for (let index = 0; index < raw.length; index += 2) {
    if (raw[index]!.toLowerCase() !== 'connection') continue;
    for (const name of raw[index + 1]!.toLowerCase().split(',')) named.add(name.trim());
  }
  const fields: [string, string][] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!.toLowerCase();
    if (dropped.has(name) || named.has(name) || name in guarding) continue;
    if (droppedBeginnings.some((start) => name.startsWith(start))) continue;
    const value = change(name, raw[index + 1]!);
    if (value !== undefined) fields.push([raw[index]!, value]);
  }
  return [...fields, ...Object.entries(guarding)];
}

export interface Passed {
  readonly bytes: number;
  /** whole; cut: the upstream broke off; limit: policy's; gone: the client left. */
  readonly how: 'whole' | 'cut' | 'limit' | 'gone';
}

/** What bytes become on their way: they may be held back until it is known what they belong to. */
export interface Change {
  push(chunk: Buffer): Buffer;
  finish(): Buffer;
}

/**
 * Passes the bytes on as the client takes them; ends the answer where all came, else cuts it off. Never throws. The head goes with the
 * first of them, in one write, or alone where none is there yet: who waits for events learns that it may.
 *
 * @param bytes_max Of the bytes as they came.
 */
export function pass(
  from: IncomingMessage,
  to: ServerResponse,
  bytes_max = Infinity,
  change?: Change,
): Promise<Passed> {
  return new Promise((resolve) => {
    let bytes = 0;
    let over = false;
    let head: NodeJS.Immediate | undefined = setImmediate(() => {
      head = undefined;
      to.flushHeaders();
    });
    const withHead = () => {
      clearImmediate(head);
      head = undefined;
    };
    const finish = (how: Passed['how']) => {
      if (over) return;
      over = true;
      if (head !== undefined && how !== 'whole' && how !== 'gone') to.flushHeaders();
      withHead();
      to.off('close', gone);
      to.off('drain', drained);
      if (how === 'whole') to.end(change?.finish() ?? '', () => undefined);
      else to.destroy();
      if (how !== 'whole') from.destroy();
      resolve({ bytes, how });
    };
    const gone = () => finish('gone');
    const drained = () => from.resume();
    from.on('data', (chunk: Buffer) => {
      if (over) return;
      bytes += chunk.length;
      if (bytes > bytes_max) return finish('limit');
      withHead();
      if (!to.write(change === undefined ? chunk : change.push(chunk))) from.pause();
    });
    from.once('end', () => finish('whole'));
    from.once('error', () => finish('cut'));
    from.once('close', () => finish(from.complete ? 'whole' : 'cut'));
    to.on('drain', drained);
    to.once('close', gone);
    if (to.destroyed) gone();
    // It broke off before anybody listened, and will not say so again.
    else if (from.destroyed) finish('cut');
  });
}

/** Resolves once there is room again, or nobody any more who reads. */
export const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
    if (response.destroyed) done();
  });
