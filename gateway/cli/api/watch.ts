import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from '../../errors.js';
import { exit } from '../exit.js';
import { shortened } from '../printable.js';
import type { Surroundings } from '../surroundings.js';
import type { GatewayFlags } from './address.js';
import { ask, type Asking } from './ask.js';
import { openApi, Refused, Unreachable } from './client.js';
import type { ShownRequest } from './describe.js';

/** `sallyport approvals watch`: it outlives a gateway that restarts, and tells what happened while nobody listened. */

export interface WatchFlags extends GatewayFlags {
  /** Milliseconds. */
  readonly giveUp: number;
}

const pause_first_ms = 250;
const pause_ms_max = 15_000;

export const watch = (flags: WatchFlags, around: Surroundings) =>
  ask(flags, around, async (asking) => {
    const say = (words: string) => void around.stderr.write(`sallyport: ${words}\n`);
    const waiting = new Set<string>();
    let away: { readonly since_ms: number; pause_ms: number } | undefined;
    let followed = false;
    const opened = () => {
      if (away !== undefined) say('the gateway is back');
      away = undefined;
      followed = true;
    };
    for (;;) {
      try {
        // The token, and the certificate that vouches for the gateway, may be others by now.
        const api = away === undefined ? asking.api : await openApi(flags, around);
        await follow({ ...asking, api }, waiting, opened);
      } catch (error) {
        // Whom nobody has answered yet is told at once why.
        if (!followed) throw error;
        if (error instanceof Refused && error.status === 401) {
          say('the gateway has ended the stream: the token has expired, or was revoked');
          return exit.failed;
        }
        if (!isPassing(error)) throw error;
      }
      const now_ms = performance.now();
      if (away === undefined) {
        away = { since_ms: now_ms, pause_ms: pause_first_ms };
        say('the gateway has ended the stream: it stops, or cannot be reached; trying again');
      }
      if (now_ms - away.since_ms > flags.giveUp) {
        say('the gateway did not come back');
        return exit.failed;
      }
      await (around.wait ?? delay)(away.pause_ms);
      away.pause_ms = Math.min(away.pause_ms * 2, pause_ms_max);
    }
  });

/** Also a file that is just being replaced. */
const isPassing = (error: unknown): boolean =>
  error instanceof Unreachable ||
  error instanceof ConfigError ||
  (error instanceof Refused && (error.status === 429 || error.status >= 500));

/** Tells what is new among those that wait, what has ended since, and then what happens, until the stream ends. */
async function follow(asking: Asking, waiting: Set<string>, opened: () => void): Promise<void> {
  const { api } = asking;
  // The stream is open before the list is read: nothing falls between the two.
  let open: () => void = () => undefined;
  const isOpen = new Promise<void>((resolve) => (open = resolve));
  const stream = api.events(open);
  const first = stream.next();
  first.catch(() => undefined);
  await Promise.race([isOpen, first]);
  const { approvals } = await api.get<{ approvals: ShownRequest[] }>('/v1/approvals?status=waiting');
  opened();
  await catchUp(asking, waiting, approvals);
  for (let event = await first; event.done !== true; event = await stream.next()) {
    const { type, id } = event.value;
    const isGrant = type === 'granted' || type === 'revoked';
    if (type === 'requested') waiting.add(id);
    if (type === 'ended') waiting.delete(id);
    tellEvent(asking, type, id, isGrant ? undefined : await api.get<ShownRequest>(pathOf(id)));
  }
}

async function catchUp(asking: Asking, waiting: Set<string>, approvals: readonly ShownRequest[]): Promise<void> {
  for (const request of approvals) {
    if (!waiting.has(request.id)) tellEvent(asking, 'waiting', request.id, request);
  }
  const still = new Set(approvals.map(({ id }) => id));
  for (const id of [...waiting]) {
    if (still.has(id)) continue;
    const request = await known(asking, id);
    // A list has an end: what is not in it may wait all the same.
    if (request?.status === 'waiting') continue;
    waiting.delete(id);
    tellEvent(asking, 'ended', id, request);
  }
  for (const id of still) waiting.add(id);
}

async function known({ api }: Asking, id: string): Promise<ShownRequest | undefined> {
  try {
    return await api.get<ShownRequest>(pathOf(id));
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return undefined;
    throw error;
  }
}

const pathOf = (id: string) => `/v1/approvals/${encodeURIComponent(id)}`;

function tellEvent({ tell, colours }: Asking, type: string, id: string, request: ShownRequest | undefined): void {
  tell({ event: type, id, ...(request === undefined ? {} : { request }) }, () => {
    const statement = (request?.operation?.postgres as { statement?: string } | undefined)?.statement ?? '';
    const columns = [
      new Date().toISOString(),
      colours.bold(shortened(type, 9).padEnd(9)),
      shortened(id, 40),
      shortened(request?.status ?? '', 10),
      shortened(request?.principal?.subject ?? '', 40),
      shortened(request?.target.name ?? '', 40),
      shortened(statement, 100),
    ];
    return `${columns.filter((column) => column !== '').join('  ')}\n`;
  });
}
