import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kubeconfig } from '../support/api-server.js';
import { startMeasuredGateway, type Measured, type MeasuredGateway } from '../support/measured-gateway.js';
import { written, type Draft } from './floods/draft.js';
import { Lane } from './floods/lane.js';
import { beginOn, mcpRequest } from './floods/mcp.js';
import {
  event,
  large_bytes,
  largeDigest,
  startStreaming,
  type Large,
  type Streaming,
  type StreamingUpstream,
} from './floods/streams.js';

/**
 * Streams that last: five hundred at once that wait for an event, and answers and bodies that are larger than anybody keeps, whose
 * reader does not read. The gateway, which is a process of its own, holds little for each, and nothing afterwards.
 */
const streams_count = 500;
/** Of one principal, as many sessions of MCP as it may have. */
const principals_count = 10;
const opening_at_once = 16;
/** After a collection, of one stream with its session, both of its connections and TLS. */
const stream_bytes_max = 131_072;
const growth_bytes_max = 16 * 1024 * 1024;
/** What the kernel and the gateway may hold between a server and a client that does not read. */
const between_bytes_max = 32 * 1024 * 1024;
const answer_ms_max = 30_000;
const settle_ms_max = 60_000;
const test_ms_max = 600_000;

const allowed = (name: string, more = '') => [
  `${name}.rego`,
  `package policy.${name}\n\nallow contains {"code": "all"} if input.version == 1\n${more}`,
];
const policy = Object.fromEntries([
  allowed(
    'http',
    '\nmask contains {"code": "masked", "resource": "body:secret", "with": "redact"} if "masked" in input.operation.http.segments\n',
  ),
  allowed(
    'kubernetes',
    '\nmask contains {"code": "masked", "resource": "secrets:data", "with": "redact"} if input.operation.kubernetes.namespace == "masked"\n',
  ),
  allowed('registry'),
  allowed('mcp'),
]) as Record<string, string>;

let gateway: MeasuredGateway;
let upstreams: Record<Streaming, StreamingUpstream>;
let tokens: string[];

beforeAll(async () => {
  const [http, kubernetes, registry, mcp] = await Promise.all([
    startStreaming('http'),
    startStreaming('kubernetes'),
    startStreaming('registry'),
    startStreaming('mcp'),
  ]);
  upstreams = { http, kubernetes, registry, mcp };
  const url = ({ port }: StreamingUpstream, path = '') => `http://127.0.0.1:${String(port)}${path}`;
  gateway = await startMeasuredGateway({
    policy,
    targets: [
      { name: 'web', protocol: 'http', upstream: { url: url(http) } },
      { name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig(kubernetes.port) } },
      { name: 'images', protocol: 'registry', upstream: { url: url(registry) } },
      { name: 'tools', protocol: 'mcp', upstream: { url: url(mcp, '/mcp') } },
    ],
  });
  tokens = await Promise.all(
    Array.from({ length: principals_count }, (_, at) =>
      gateway.idp.issueToken({ subject: `agent:${String(at)}`, expiresIn: 3_500 }),
    ),
  );
}, test_ms_max);
afterAll(async () => {
  await gateway?.close();
  await Promise.all(Object.values(upstreams ?? {}).map((one) => one.close()));
});

const ask = (
  token: string,
  method: string,
  target: string,
  fields: Draft['fields'] = [],
  body = Buffer.alloc(0),
): Draft => ({
  ...{ method, target, version: 'HTTP/1.1', body },
  fields: [['Host', 'localhost'], ['Authorization', `Bearer ${token}`], ...fields],
});
const events = { accept: ['Accept', 'text/event-stream'] as const };

/** Asks for a stream on this connection, and gives how it is taken leave of. */
type Open = (lane: Lane, token: string) => Promise<() => Promise<void>>;

const nothing = () => Promise.resolve();
const opens: Readonly<Record<Exclude<Streaming, 'registry'>, Open>> = {
  http: async (lane, token) => {
    lane.say(written(ask(token, 'GET', '/http/web/events', [events.accept])));
    return nothing;
  },
  kubernetes: async (lane, token) => {
    lane.say(written(ask(token, 'GET', '/kubernetes/cluster/api/v1/namespaces/shop/secrets?watch=1')));
    return nothing;
  },
  mcp: async (lane, token) => {
    const session = await beginOn(lane, token);
    lane.say(written(mcpRequest(token, 'GET', session)));
    return async () => {
      const other = await Lane.open(gateway);
      other.say(written(mcpRequest(token, 'DELETE', session)));
      await other.next(answer_ms_max);
      other.close();
    };
  },
};

const sockets = ({ handles }: Measured) => handles['TCPSocketWrap'] ?? 0;
const timers = ({ handles }: Measured) => handles['Timeout'] ?? 0;

/** Once it holds; the last measure where it does not in time. */
async function measured(holds: (now: Measured) => boolean): Promise<Measured> {
  const until = Date.now() + settle_ms_max;
  for (;;) {
    const now = await gateway.measure();
    if (holds(now) || Date.now() > until) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function inTime(holds: () => boolean, what: () => string): Promise<void> {
  const until = Date.now() + settle_ms_max;
  while (!holds()) {
    if (Date.now() > until) throw new Error(what());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** So many streams, of which each says one event; gives what the gateway held for them. */
async function streamed(protocol: keyof typeof opens, count: number): Promise<Measured> {
  const { waiting, tell } = upstreams[protocol];
  const lanes: Lane[] = [];
  const leaves: (() => Promise<void>)[] = [];
  let begun = 0;
  const open = async () => {
    while (begun < count) {
      const token = tokens[begun++ % tokens.length]!;
      const lane = await Lane.open(gateway);
      lanes.push(lane);
      leaves.push(await opens[protocol](lane, token));
    }
  };
  try {
    await Promise.all(Array.from({ length: opening_at_once }, open));
    await inTime(
      () => waiting.size === count,
      () => `${String(waiting.size)} of ${String(count)} streams are open`,
    );
    const held = await gateway.measure();
    tell();
    await Promise.all(lanes.map((lane) => lane.until(event, answer_ms_max)));
    return held;
  } finally {
    for (const lane of lanes) lane.close();
    await inTime(
      () => waiting.size === 0,
      () => `${String(waiting.size)} streams stay open at the server`,
    );
    for (const leave of leaves) await leave();
  }
}

describe.each(['http', 'kubernetes', 'mcp'] as const)('%s', (protocol) => {
  test(
    'five hundred streams wait for little, get their event, and leave nothing behind',
    async () => {
      // What is loaded, compiled and kept once is no leak.
      await streamed(protocol, 20);
      const before = await measured((now) => sockets(now) === 0);
      const held = await streamed(protocol, streams_count);
      expect((held.memory_bytes - before.memory_bytes) / streams_count).toBeLessThan(stream_bytes_max);
      const after = await measured(
        (now) =>
          sockets(now) === 0 &&
          now.descriptors <= before.descriptors &&
          timers(now) <= timers(before) &&
          now.memory_bytes - before.memory_bytes < growth_bytes_max,
      );
      expect({
        sockets: sockets(after),
        descriptors: after.descriptors <= before.descriptors,
        timers: timers(after) <= timers(before),
      }).toEqual({ sockets: 0, descriptors: true, timers: true });
      expect(after.memory_bytes - before.memory_bytes).toBeLessThan(growth_bytes_max);
    },
    test_ms_max,
  );
});

/** What could be written when nothing more is taken for this long. */
const still_ms = 2_000;

async function blocked(large: Large): Promise<number> {
  let drains = -1;
  for (const until = Date.now() + settle_ms_max; ;) {
    if (large.blocked && drains === large.drains) return large.written_bytes;
    if (Date.now() > until) throw new Error(`nobody made the server stop: ${JSON.stringify(large)}`);
    drains = large.blocked ? large.drains : -1;
    await new Promise((resolve) => setTimeout(resolve, still_ms));
  }
}

/** What brings an answer that is large, on a connection that is not read from then on. */
const larges: readonly (readonly [string, Streaming, (token: string) => Draft | 'stream of MCP'])[] = [
  ['an answer over HTTP', 'http', (token) => ask(token, 'GET', '/http/web/large', [events.accept])],
  ['events over HTTP that are masked', 'http', (token) => ask(token, 'GET', '/http/web/large/masked', [events.accept])],
  [
    'a watch',
    'kubernetes',
    (token) => ask(token, 'GET', '/kubernetes/cluster/api/v1/namespaces/large/secrets?watch=1'),
  ],
  [
    'a watch that is masked',
    'kubernetes',
    (token) =>
      ask(token, 'GET', '/kubernetes/cluster/api/v1/namespaces/masked/secrets?watch=1&fieldSelector=type%3Dlarge'),
  ],
  ['a blob', 'registry', (token) => ask(token, 'GET', `/v2/images/team/app/blobs/${largeDigest()}`)],
  ['a stream of MCP', 'mcp', () => 'stream of MCP'],
];

test.each(larges)(
  '%s waits for a client that does not read, and comes whole when it does',
  async (_name, protocol, of) => {
    const { large } = upstreams[protocol];
    const token = tokens[0]!;
    const before = await measured((now) => sockets(now) === 0);
    const lane = await Lane.open(gateway);
    try {
      const asked = of(token);
      const draft = asked === 'stream of MCP' ? largeListening(token, await beginOn(lane, token)) : asked;
      Object.assign(large, { written_bytes: 0, blocked: false, drains: 0, gone: false });
      lane.socket.pause();
      lane.say(written(draft));
      const written_bytes = await blocked(large);
      expect(written_bytes).toBeLessThan(between_bytes_max);
      const held = await gateway.measure();
      expect(held.memory_bytes - before.memory_bytes).toBeLessThan(growth_bytes_max);
      lane.socket.resume();
      expect(await lane.drain(large_bytes, answer_ms_max)).toBeGreaterThanOrEqual(large_bytes);
    } finally {
      lane.close();
    }
  },
  test_ms_max,
);

/** The server pours, once it was told so. */
function largeListening(token: string, session: string): Draft {
  return {
    ...mcpRequest(token, 'GET', session),
    fields: [...mcpRequest(token, 'GET', session).fields, ['Last-Event-ID', 'large']],
  };
}

test(
  'a blob that is uploaded waits for a registry that does not read',
  async () => {
    const token = tokens[0]!;
    const before = await measured((now) => sockets(now) === 0);
    const lane = await Lane.open(gateway);
    try {
      lane.say(written(ask(token, 'POST', '/v2/images/team/app/blobs/uploads/', [['Content-Length', '0']])));
      const reply = await lane.next(answer_ms_max);
      const location = /\r\nlocation: *([^\r]+)/i.exec(reply?.head ?? '')?.[1] ?? '';
      lane.say(
        written(
          ask(token, 'PATCH', location.replace(/^https:\/\/[^/]+/, ''), [
            ['Content-Length', String(large_bytes)],
            ['Content-Type', 'application/octet-stream'],
          ]),
        ),
      );
      const said: Large = { written_bytes: 0, blocked: false, drains: 0, gone: false };
      const chunk = Buffer.alloc(65_536, 'x');
      const write = () => {
        said.blocked = false;
        while (said.written_bytes < large_bytes) {
          said.written_bytes += chunk.length;
          if (lane.socket.write(chunk)) continue;
          said.blocked = true;
          return;
        }
      };
      lane.socket.on('drain', () => {
        said.drains++;
        write();
      });
      write();
      expect(await blocked(said)).toBeLessThan(between_bytes_max);
      const held = await gateway.measure();
      expect(held.memory_bytes - before.memory_bytes).toBeLessThan(growth_bytes_max);
    } finally {
      lane.close();
    }
  },
  test_ms_max,
);
