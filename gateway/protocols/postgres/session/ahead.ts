import * as codec from '../codec.js';
import { frontend } from '../codec.js';
import type { Leaving } from '../enforcing/leaving.js';
import type { Ahead } from '../judging/holding.js';
import type { Exchange } from './exchange.js';
import type { Portal, Received } from './names.js';
import type { Namespace } from './namespace.js';
import type { Expectation, ExpectationEnd, ServerError } from './expectation.js';

/** A portal whose execution waits for people. */
export interface WaitingPortal {
  readonly exchange: Exchange;
  readonly names: Namespace;
  readonly name: string;
  readonly portal: Portal;
  /** What of it leaves, under the masks and filters of the decision. */
  readonly leaving: Leaving;
  /** Its Execute. */
  readonly frame: Received;
  /** Whether its batch was ended on the server before the wait, and the portal with it. */
  readonly unbound: () => boolean;
  /** The name of the gateway's own that stands for its statement, if one does. */
  readonly other: () => string | undefined;
  /** The type of the message behind the Execute; undefined where none comes soon. */
  readonly behind: () => Promise<number | undefined>;
}

/**
 * The portal as it is run before it is answered: the client's Bind once more under a name of the gateway's own, so that its
 * own is as it was where the answer is no.
 */
export function portalAhead(waiting: WaitingPortal): Ahead {
  const { exchange, names, name, portal, leaving, frame } = waiting;
  const { bound, template } = portal;
  const own = `${exchange.own}_ahead`;
  return {
    text: leaving.text ?? template.text,
    reason: async () => {
      if (bound === undefined || portal.started) return 'it goes on with what has been executed before';
      if (frame.buffer.readInt32BE(frame.end - 4) !== 0) return 'it is executed in pieces';
      if (exchange.transaction === 'T')
        return exchange.batchSent ? 'it stands in a batch that has executed something' : undefined;
      if (!waiting.unbound()) return 'it stands in a batch with others, which are one transaction with it';
      if ((await waiting.behind()) !== frontend.sync)
        return 'it stands in a batch with others, or without its end: which are one transaction with it';
      return undefined;
    },
    send: () =>
      new Promise((resolve) => {
        const statement = waiting.other() ?? codec.decodeBind(bound!).statement;
        const { guard } = leaving;
        const expect = (expectation: Expectation) => exchange.responses.expect(expectation);
        exchange.toUpstream.push(codec.bindOther(bound!, own, statement));
        let error: ServerError | undefined;
        const failed = (end: ExpectationEnd) => (error ??= end.error);
        expect({ kind: 'bind', hidden: true, guard, ended: failed });
        exchange.toUpstream.push(codec.describePortal(own));
        expect({ kind: 'describe', hidden: true, guard, ...describing(portal), ended: failed });
        exchange.toUpstream.push(codec.execute(own));
        let executed: ExpectationEnd | undefined;
        expect({
          kind: 'execute',
          guard,
          columns: () => portal.columns,
          completed: () => names.ran(template.statements[0], template.text, leaving),
          ended: (end) => {
            failed(end);
            executed = end;
          },
        });
        exchange.toUpstream.push(codec.sync);
        expect({
          kind: 'sync',
          hidden: true,
          ended: (end) => {
            failed(end);
            resolve({ ...(executed ?? end), error });
          },
        });
        exchange.toUpstream.flush();
      }),
    kept: () => {
      portal.started = true;
      portal.prepared.recorded = true;
      if (exchange.transaction !== 'T') return;
      // Its execution has been answered: the portal of that name is not to run again.
      for (const each of [own, name]) {
        exchange.toUpstream.push(codec.closePortal(each));
        exchange.batchSent = true;
        exchange.responses.expect({ kind: 'close', hidden: true });
      }
      names.closeSent('P', name);
    },
  };
}

/** What the answer to a Describe says of a portal is kept for its rows. */
export function describing(portal: Portal): Pick<Expectation, 'described'> {
  portal.described = true;
  return {
    described: (columns) => {
      portal.columns = columns;
    },
  };
}
