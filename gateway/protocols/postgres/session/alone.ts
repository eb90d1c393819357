import type { CommonTableExpr, SelectStmt } from 'libpg-query';
import * as codec from '../codec.js';
import type { Column } from '../enforcing/content.js';
import type { Permit } from '../judging/permit.js';
import type { Statement, Template } from '../judging/statement.js';
import { as } from '../sql/ast.js';
import type { Look } from '../sql/look.js';
import type { Relation } from '../sql/catalog.js';
import { parse } from '../sql/parse.js';
import { judgedWith } from '../sql/template.js';
import type { ExpectationEnd, ServerError } from './responses.js';
import type { SimpleParts } from './simple.js';

const known = new WeakMap<readonly Statement[], boolean>();

/** Whether the server describes the rows before it looks at any; else it does once the statement has not failed. */
function describesFirst({ statements, text }: Template): boolean {
  let first = known.get(statements);
  if (first === undefined) {
    const select = as<SelectStmt>(parse(text).statements[0]?.stmt, 'SelectStmt');
    const writes = select?.withClause?.ctes?.some(
      (cte) => as(as<CommonTableExpr>(cte, 'CommonTableExpr')?.ctequery, 'SelectStmt') === undefined,
    );
    first = select !== undefined && writes !== true;
    known.set(statements, first);
  }
  return first;
}

/**
 * Whether a relation that it names is written by way of rules: of what these select a Query brings the rows, and an Execute none, since
 * nothing could describe them.
 */
export function hasRules(template: Template): boolean {
  for (const [key, { value }] of judgedWith(template)?.names.all ?? [])
    if (key.startsWith('relation ') && ((value as Relation | undefined)?.rules.length ?? 0) > 0) return true;
  return false;
}

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
  let first: Buffer | undefined;
  let last: Buffer | undefined;
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
  expect({
    kind: 'describe',
    rowsOnly: true,
    guard,
    described: (described) => (columns = described),
    ...(describesFirst(template) ? {} : { keep: (frame: Buffer) => void (first = frame) }),
    ended,
  });
  looking.send(look, ended);
  exchange.toUpstream.push(
    Buffer.concat([codec.execute(''), codec.closePortal(''), codec.closeStatement(''), codec.sync]),
  );
  expect({
    kind: 'execute',
    guard,
    columns: () => columns,
    ahead: () => {
      const said = first;
      first = undefined;
      return said;
    },
    // It is committed with the Sync, which may fail (deferred constraints, serialization): a Query says nothing before.
    keep: (frame) => void (last = frame),
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
    ahead: () => {
      const said = last;
      last = undefined;
      return said;
    },
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
