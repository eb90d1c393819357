import fc from 'fast-check';

/** Messages of MCP, and what becomes of them when bytes, members or values are changed at random. */
const seeds = [
  { jsonrpc: '2.0', id: 'a', method: 'tools/call', params: { name: 'say', arguments: { words: 'hello' } } },
  { jsonrpc: '2.0', id: 7, method: 'tools/list', params: {} },
  { jsonrpc: '2.0', id: 8, method: 'resources/read', params: { uri: 'file:///notes.txt' } },
  { jsonrpc: '2.0', id: 9, method: 'prompts/get', params: { name: 'greet', arguments: { name: 'Ada' } } },
  { jsonrpc: '2.0', id: 10, method: 'completion/complete', params: { ref: { type: 'ref/prompt', name: 'greet' }, argument: { name: 'a', value: 'b' } } }, // prettier-ignore
  { jsonrpc: '2.0', id: 11, method: 'logging/setLevel', params: { level: 'info' } },
  { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 2 } },
  { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 7 } },
  { jsonrpc: '2.0', id: 'server-1', result: {} },
  { jsonrpc: '2.0', id: 12, method: 'ping', params: { _meta: { progressToken: 'x', 'sallyport/prompt': 'p' } } },
];

const members = ['jsonrpc', 'id', 'method', 'params', 'result', 'error', 'name', 'arguments', '_meta', 'uri', 'cursor', '__proto__', 'constructor']; // prettier-ignore

/** A message with a member put in, taken out or given another value, at any depth. */
const members_changed = fc
  .tuple(fc.constantFrom(...seeds), fc.constantFrom(...members), fc.jsonValue({ maxDepth: 3 }), fc.boolean())
  .map(([seed, name, value, deep]) => {
    const copy = structuredClone(seed) as Record<string, unknown>;
    const place = deep && typeof copy['params'] === 'object' ? (copy['params'] as Record<string, unknown>) : copy;
    Object.defineProperty(place, name, { value, enumerable: true, configurable: true });
    return JSON.stringify(copy);
  });

/** Bytes of a message that were taken out, doubled, or put in the place of others. */
const bytes_changed = fc
  .tuple(
    fc.constantFrom(...seeds.map((seed) => JSON.stringify(seed))),
    fc.nat(400),
    fc.nat(20),
    fc.oneof(
      fc.constantFrom('', '"', '{', '}', '[', ']', ',', ':', '\\u0000', '\\ud800', '\n', '1e999', 'null', '/*'),
      fc.string(),
    ),
  )
  .map(([text, at, length, put]) => {
    const from = at % text.length;
    return text.slice(0, from) + put + text.slice(from + length);
  });

export const mutated: fc.Arbitrary<string> = fc.oneof(members_changed, bytes_changed, fc.json(), fc.string());
