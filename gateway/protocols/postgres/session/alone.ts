import * as codec from '../codec.js';
import type { Column } from '../enforcing/content.js';
import type { Permit } from '../judging/permit.js';
import type { Template } from '../judging/statement.js';
import type { Look } from '../sql/look.js';
import type { ExpectationEnd, ServerError } from './responses.js';
import type { SimpleParts } from './simple.js';

/**
 * A query string of one statement as messages of the extended protocol. The server looks up all names with Parse and Bind, and holds what it
 * found: so the catalog can be compared with what was judged between them and the Execute, which a Query leaves no room for. What the client
 * sees is what a Query is answered with.
 */
export function sendAlone(
  { exchange, names, judge, copying, looking }: SimpleParts,
  template: Template,
  { submission, leaving, guard }: Permit,
  look: Look,
): void {
  const { text, statements } = template;
  const [statement] = statements;
  let columns: readonly Column[] | undefined;
  let error: ServerError | undefined;
  let executed: ExpectationEnd | undefined;
  const ended = (end: ExpectationEnd): void => void (error ??= end.error);
  const expect = exchange.responses.expect.bind(exchange.responses);
  names.querySent();
  names.announce(template, leaving);
  exchange.toUpstream.push(
    Buffer.concat([codec.parse('', leaving.text ?? text), codec.bind('', '', []), codec.describePortal('')]),
  );
  expect({ kind: 'parse', hidden: true, tells: true, guard, ended });
  expect({ kind: 'bind', hidden: true, tells: true, guard, ended });
  expect({ kind: 'describe', rowsOnly: true, guard, described: (described) => (columns = described), ended });
  looking.send(look, ended);
  exchange.toUpstream.push(
    Buffer.concat([codec.execute(''), codec.closePortal(''), codec.closeStatement(''), codec.sync]),
  );
  expect({
    kind: 'execute',
    guard,
    columns: () => columns,
    completed: () => names.ran(statement, text, leaving),
    ended: (end) => {
      ended(end);
      executed = end;
    },
  });
  expect({ kind: 'close', hidden: true });
  expect({ kind: 'close', hidden: true });
  const answered = exchange.endBatch();
  expect({
    kind: 'sync',
    ended: (end) => {
      ended(end);
      answered?.();
      names.queryAnswered();
      const { rows, bytes, tag } = executed ?? end;
      judge.outstanding.settle(submission, { rows, bytes, tag, error }, true);
      copying.clear(false);
    },
  });
}
