import { request as ask } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { ApprovalRequest } from '../../approvals/approvals.js';
import { detailsOf, refused, type Json, type Outcome } from './outcome.js';
import { textOf, type Order } from './order.js';

/** request and get: one request below the target's own path. */

const body_bytes_max = 1_048_576;
/** An answer that has not come by then may wait for people: over HTTP no byte says so. */
const hold_look_ms = 2_000;
const hold_look_again_ms = 10_000;
/** Said by the gateway, or by the client for itself. */
const reserved = /^(authorization|proxy-.*|x-sallyport-.*|host|connection|content-length|transfer-encoding|te|upgrade|expect|cookie)$/iu; // prettier-ignore

export async function request(order: Order): Promise<Outcome> {
  const { arguments: args } = order;
  return exchange(
    order,
    textOf(args, 'method').toUpperCase(),
    (args['headers'] as Json | undefined) ?? {},
    args['body'],
  );
}

/** Of Kubernetes: what the API server says of an object, a list, or a log. */
export const get = (order: Order): Promise<Outcome> =>
  exchange(order, 'GET', { accept: 'application/json' }, undefined);

async function exchange(order: Order, method: string, given: Json, body: unknown): Promise<Outcome> {
  const { arguments: args, target, place, token, prompt, signal } = order;
  const path = textOf(args, 'path');
  // Sent as it is: a URL would be resolved first, and dot segments would lead out of the target.
  if (!/^\/[\x21-\x7e]*$/u.test(path) || /[\\#]|(^|\/)\.{1,2}(\/|\?|$)/u.test(path))
    return refused('invalid', 'path is one below the target, in ASCII, percent-encoded, without "." and ".." segments');
  const wrong = Object.keys(given).find((name) => reserved.test(name) || typeof given[name] !== 'string');
  if (wrong !== undefined) return refused('invalid', `the field ${wrong} is not for the caller to say`);
  const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
  const { hostname, port } = new URL(place.url);
  const looking = lookForHold(order);
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = ask(
        {
          ...{ host: hostname.replace(/^\[|\]$/gu, ''), port: port === '' ? 443 : Number(port), agent: false, signal },
          ...(place.ca === undefined ? {} : { ca: place.ca }),
          ...{ method, path: `${target.path ?? ''}${path}` },
          headers: {
            ...(typeof body === 'object' ? { 'content-type': 'application/json' } : {}),
            ...(given as Record<string, string>),
            authorization: `Bearer ${token}`,
            ...(prompt.id === undefined ? {} : { 'x-sallyport-prompt': prompt.id }),
            ...(prompt.trace === undefined ? {} : { traceparent: prompt.trace }),
          },
        },
        resolve,
      );
      call.on('error', reject);
      call.end(text);
    });
    looking.stop();
    return await outcomeOf(answer);
  } catch (error) {
    return refused('unreachable', `the target could not be asked: ${(error as Error).message}`);
  } finally {
    looking.stop();
  }
}

async function outcomeOf(answer: IncomingMessage): Promise<Outcome> {
  const status = answer.statusCode ?? 0;
  const { bytes, truncated } = await read(answer);
  const type = answer.headers['content-type'] ?? '';
  const refusal = refusalOf(type, bytes);
  if (status >= 400 && refusal !== undefined) return refusal;
  const decision = answer.headers['x-sallyport-decision'];
  return {
    value: {
      ...{ status, content_type: type, truncated },
      ...bodyOf(type, bytes, truncated),
      ...(typeof decision === 'string' ? { decision } : {}),
    },
  };
}

/** The gateway's own no: a problem (RFC 9457) with a decision, or a Status of Kubernetes that quotes one. */
function refusalOf(type: string, bytes: Buffer): Outcome | undefined {
  if (!/json/iu.test(type)) return undefined;
  const text = bytes.toString('utf8');
  let said: { detail?: unknown; code?: unknown; message?: unknown; details?: { causes?: unknown } };
  try {
    said = JSON.parse(text) as typeof said;
  } catch {
    return undefined;
  }
  const { code, detail, message, details } = said;
  if (typeof code === 'string' && typeof detail === 'string') return refused(code, detail, detailsOf(text));
  if (typeof message !== 'string' || !Array.isArray(details?.causes)) return undefined;
  const causes = details.causes as { reason?: unknown; message?: unknown; field?: unknown }[];
  const own = causes.filter(({ reason }) => reason === 'sallyport');
  if (own.length === 0) return undefined;
  const more = Object.fromEntries(own.map((cause) => [String(cause.field), cause.message]));
  const reasons = causes
    .filter((cause) => !own.includes(cause))
    .map((one) => ({ code: one.reason, message: one.message }));
  return refused('denied', message, detailsOf(JSON.stringify({ ...more, reasons })));
}

/** JSON as what it says, other text as it is, all else as base64. */
function bodyOf(type: string, bytes: Buffer, truncated: boolean): Json {
  if (bytes.length === 0) return {};
  try {
    const text = new TextDecoder('utf-8', { fatal: !truncated }).decode(bytes);
    if (!truncated && /json/iu.test(type)) return { body: JSON.parse(text) as unknown };
    return { body: text };
  } catch {
    return { body: bytes.toString('base64'), encoding: 'base64' };
  }
}

async function read(answer: IncomingMessage): Promise<{ readonly bytes: Buffer; readonly truncated: boolean }> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk.subarray(0, body_bytes_max - length));
    length += chunk.length;
    if (length > body_bytes_max) return { bytes: Buffer.concat(chunks), truncated: true };
  }
  return { bytes: Buffer.concat(chunks), truncated: false };
}

/** Asks the API whether a request of one's own waits at this target, while there is no answer. */
function lookForHold({ api, target, waiting }: Order): { stop(): void } {
  let timer: NodeJS.Timeout;
  const look = async (): Promise<void> => {
    const { approvals } = await api
      .get<{ approvals: ApprovalRequest[] }>('/v1/approvals?status=waiting&mine=true')
      .catch(() => ({ approvals: [] }));
    const mine = approvals.find((one) => one.target.name === target.name);
    if (stopped) return;
    if (mine !== undefined) {
      const groups = [...new Set(mine.approvals.flatMap((approval) => approval.groups))];
      const until = new Date(mine.expires_ms).toISOString();
      waiting(`waiting for an approval: request ${mine.id} may be answered by ${groups.join(', ')} until ${until}`, {
        ...{ decision: mine.decision_id, hold: { id: mine.id, expires: until, groups } },
      });
    }
    timer = setTimeout(() => void look(), hold_look_again_ms);
  };
  let stopped = false;
  timer = setTimeout(() => void look(), hold_look_ms);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
