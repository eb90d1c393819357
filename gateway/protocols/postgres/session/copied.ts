import * as codec from '../codec.js';
import { CopyRows } from '../enforcing/copy-rows.js';
import type { Guard } from '../enforcing/guard.js';
import type { CopyingOut } from '../sql/copying-out.js';
import type { Look } from '../sql/look.js';
import type { Awaitable, Exchange } from './exchange.js';
import type { Looking } from './looking.js';
import { shifted } from './pieces.js';
import type { Expectation, ExpectationEnd } from './expectation.js';

export interface Copied {
  readonly how: CopyingOut;
  /** Of the statement and the portal that it is sent as. */
  readonly name: string;
  readonly guard: Guard | undefined;
  readonly look: Look;
  /** Hears what came of each message before the Execute. */
  readonly ended?: (end: ExpectationEnd) => void;
  /** What is to be waited for between its Bind and its Execute; false: it has failed. */
  readonly between?: (() => Promise<boolean>) | undefined;
}

/** Sends a COPY as the query whose rows it hands out, up to its Execute; what that is answered with the caller expects. */
export function sendCopied(
  exchange: Exchange,
  looking: Looking,
  { how, name, guard, look, ended, between }: Copied,
  execution: (rows: CopyRows) => Expectation,
): Awaitable {
  const { responses } = exchange;
  const rows = new CopyRows(how);
  const told = shifted(guard, how.before);
  const heard = ended === undefined ? {} : { ended };
  const isOwn = name !== '';
  exchange.toUpstream.push(
    Buffer.concat([
      // One that failed has left it.
      ...(isOwn ? [codec.closeStatement(name)] : []),
      codec.parse(name, how.text),
      codec.bindMade(name, name, how.format === 'binary' ? inBinary : inText),
      codec.describePortal(name),
    ]),
  );
  exchange.batchSent = true;
  if (isOwn) responses.expect({ kind: 'close', hidden: true });
  responses.expect({ kind: 'parse', hidden: true, tells: true, guard: told, ...heard });
  responses.expect({ kind: 'bind', hidden: true, tells: true, guard: told, ...heard });
  responses.expect({
    kind: 'describe',
    rowsOnly: true,
    guard: told,
    keep: (frame) => rows.describe({ buffer: frame, start: 0, end: frame.length }),
    ...heard,
  });
  const run = (): void => {
    looking.send(look, (end) => {
      ended?.(end);
      if (end.error === undefined && end.skipped === undefined) exchange.toClient.push(rows.begin());
    });
    exchange.toUpstream.push(codec.execute(name));
    responses.expect(execution(rows));
    const closing = isOwn ? [codec.closePortal(name), codec.closeStatement(name)] : [codec.closePortal(name)];
    exchange.toUpstream.push(Buffer.concat(closing));
    for (const _ of closing) responses.expect({ kind: 'close', hidden: true });
  };
  if (between === undefined) return run();
  return between().then((goesOn) => {
    if (goesOn) run();
  });
}

const inText = codec.bindValues([]);
const inBinary = codec.bindValues([], true);
