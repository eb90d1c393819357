import type { Random } from '../corruptions.js';
import { replaced, withField, type Draft } from './draft.js';
import { asJson, bearer, otherType, request, type Gate } from './gate.js';

/** MCP servers. */
const idOf = (from: Random): number => 10 + from.below(1_000_000_000);

export function mcpGate(token: string, session: string): Gate {
  const fields = [
    ...bearer(token),
    ['Accept', 'application/json, text/event-stream'],
    ['Mcp-Session-Id', session],
  ] as const;
  const say = (message: object): Draft => request(fields, 'POST', '/mcp/tools', JSON.stringify(message));
  // Many are under way at once, and each has an id of its own.
  const call = (id: number, change: object = {}): object => ({
    jsonrpc: '2.0',
    id,
    method: 'tools/call',
    params: { name: 'say', arguments: { words: 'x' } },
    ...change,
  });
  const withParams = (id: number, change: object) =>
    call(id, { params: { name: 'say', arguments: { words: 'x' }, ...change } });
  return {
    protocol: 'mcp',
    well: say(call(1)),
    carrying: say(call(2)),
    own: {
      'a message that is broken': asJson,
      'a message that is broken, once more': asJson,
      'a message that is none': (_draft, from) =>
        say(
          from.pick<object>([
            ...[
              [],
              [call(idOf(from))],
              [call(idOf(from)), call(idOf(from))],
              {},
              { jsonrpc: '2.0' },
              { jsonrpc: '2.0', id: 1 },
              call(idOf(from), { jsonrpc: '1.0' }),
              call(idOf(from), { jsonrpc: 2 }),
            ],
            ...[
              call(idOf(from), { extra: 1 }),
              call(idOf(from), { result: {} }),
              call(idOf(from), { error: {} }),
              call(idOf(from), { method: 7 }),
              call(idOf(from), { method: null }),
              call(idOf(from), { params: [] }),
            ],
            ...[
              call(idOf(from), { params: null }),
              call(idOf(from), { params: 'x' }),
              call(idOf(from), { id: {} }),
              call(idOf(from), { id: null }),
              call(idOf(from), { id: 1.5 }),
              call(idOf(from), { id: 'x'.repeat(129) }),
            ],
            ...[
              call(idOf(from), { id: true }),
              call(idOf(from), { id: [] }),
              call(idOf(from), { jsonrpc: undefined }),
              call(idOf(from), { id: undefined }),
            ],
          ]),
        ),
      'a method that is none': (_draft, from) =>
        say(
          call(idOf(from), {
            method: from.pick([
              'tools/delete',
              'TOOLS/CALL',
              '/tools/call',
              'tools/call ',
              'constructor',
              '__proto__',
              '',
              'sampling/createMessage',
              'notifications/initialized',
              'x'.repeat(5_000),
            ]),
          }),
        ),
      'a notification that is none': (_draft, from) =>
        say({
          jsonrpc: '2.0',
          method: from.pick(['notifications/other', 'tools/call', 'ping', 'notifications/', 'constructor']),
          params: {},
        }),
      'parameters that are none': (_draft, from) =>
        say(
          withParams(
            idOf(from),
            from.pick<object>([
              ...[
                { name: 7 },
                { name: undefined },
                { name: null },
                { arguments: [] },
                { arguments: 'x' },
                { arguments: null },
              ],
              ...[
                { task: {} },
                { extra: 1 },
                { _meta: 'x' },
                { _meta: { progressToken: {} } },
                { _meta: { progressToken: 1.5 } },
                { _meta: [] },
              ],
            ]),
          ),
        ),
      'a tool that there is not': (_draft, from) =>
        say(
          withParams(idOf(from), {
            name: from.pick(['other', 'constructor', '__proto__', 'SAY', 'say ', 'x'.repeat(2_000)]),
          }),
        ),
      'arguments that its schema does not know': (_draft, from) =>
        say(
          withParams(idOf(from), {
            arguments: from.pick<object>([
              { more: 1 },
              { words: 1 },
              { words: 'x', more: 1 },
              { words: ['x'] },
              { Words: 'x' },
            ]),
          }),
        ),
      'an answer that nobody asked for': (_draft, from) =>
        say({
          jsonrpc: '2.0',
          id: from.pick(['server-1', 1, 9_999, 'x']),
          ...from.pick<object>([
            { result: {} },
            { error: { code: 1, message: 'x' } },
            { result: [] },
            { error: 'x' },
            { result: {}, error: { code: 1, message: 'x' } },
          ]),
        }),
      'a second beginning': () =>
        say({
          jsonrpc: '2.0',
          id: 9,
          method: 'initialize',
          params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'x', version: '1' } },
        }),
      'a session that is none': (draft, from) =>
        replaced(
          draft,
          'mcp-session-id',
          from.pick(['', 'x', 'A'.repeat(32), from.bytes(24).toString('base64url'), 'é']),
        ),
      'a version that is none': (draft, from) =>
        withField('MCP-Protocol-Version', from.pick(['2099-01-01', 'x', '1', '2025-06-18, 2025-03-26']))(draft, from),
      'an origin that nobody named': withField('Origin', 'https://evil.example'),
      'another type': otherType(
        'text/plain',
        'application/x-www-form-urlencoded',
        'application/json-rpc',
        'text/event-stream',
        'application/vnd.api+json',
      ),
      'a method of HTTP that is none here': (draft, from) => ({
        ...draft,
        method: from.pick(['PUT', 'PATCH', 'OPTIONS', 'PURGE']),
      }),
      'an event that is none': (draft, from) => ({
        ...replaced(draft, 'accept', 'text/event-stream'),
        ...{
          method: 'GET',
          body: Buffer.alloc(0),
          fields: [...draft.fields, ['Last-Event-ID', from.pick(['é', 'x'.repeat(5_000), ' '])] as const],
        },
      }),
    },
  };
}
