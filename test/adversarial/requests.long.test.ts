import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { startMeasuredGateway, type Measured, type MeasuredGateway } from '../support/measured-gateway.js';
import { kubeconfig } from '../support/api-server.js';
import { newSeed } from './corruptions.js';
import { written } from './floods/draft.js';
import type { Gate } from './floods/gate.js';
import { httpGate } from './floods/gate-http.js';
import { kubernetesGate } from './floods/gate-kubernetes.js';
import { mcpGate } from './floods/gate-mcp.js';
import { registryGate } from './floods/gate-registry.js';
import { Lane, type Reply } from './floods/lane.js';
import { malformer, type Malformed } from './floods/malformed.js';
import { beginSession } from './floods/mcp.js';
import { serveAnything, serveMcp, startUpstream, type Upstream } from './floods/upstream.js';

/**
 * Ten thousand malformed requests for each gate that speaks HTTP, over bare connections, at a gateway in a process of its own: each
 * is answered by an error or its connection ends, none reaches the server behind, whoever is well-behaved beside them is served,
 * and the gateway holds afterwards what it held before.
 *
 * A failure says the number of its case: SALLYPORT_SEED=<number> runs that one first.
 */
const requests_count = 10_000;
/** Connections at a time, and requests on each. */
const lanes_count = 6;
const at_once = 16;
/** A request that is well-formed comes between so many. */
const between = 500;
/** For the beginning of an answer to what may also be waited for to go on. */
const decided_ms = 300;
/** For an answer, or the end of a connection. */
const answer_ms_max = 30_000;
/** For what is over to be given back. */
const settle_ms_max = 60_000;
const memory_growth_bytes_max = 12 * 1024 * 1024;
const test_ms_max = 600_000;

const seed = Number(process.env['SALLYPORT_SEED'] ?? newSeed());
const protocols = ['http', 'kubernetes', 'registry', 'mcp'] as const;
type Protocol = (typeof protocols)[number];

const policy = Object.fromEntries(
  protocols.map((name) => [
    `${name}.rego`,
    `package policy.${name}\n\nallow contains {"code": "all"} if input.version == 1\n`,
  ]),
);

let gateway: MeasuredGateway;
let upstreams: Record<Protocol, Upstream>;
let gates: Record<Protocol, Gate>;
let bystander: Lane;

beforeAll(async () => {
  const [http, kubernetes, registry, mcp] = await Promise.all([
    startUpstream(serveAnything),
    startUpstream(serveAnything),
    startUpstream(serveAnything),
    startUpstream(serveMcp),
  ]);
  upstreams = { http, kubernetes, registry, mcp };
  const url = ({ port }: Upstream, path = '') => `http://127.0.0.1:${String(port)}${path}`;
  gateway = await startMeasuredGateway({
    policy,
    targets: [
      { name: 'web', protocol: 'http', upstream: { url: url(http) } },
      { name: 'cluster', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig(kubernetes.port) } },
      { name: 'images', protocol: 'registry', upstream: { url: url(registry) } },
      { name: 'tools', protocol: 'mcp', upstream: { url: url(mcp, '/mcp') } },
    ],
  });
  const token = await gateway.idp.issueToken({ expiresIn: 3_500 });
  gates = {
    http: httpGate(token),
    kubernetes: kubernetesGate(token),
    registry: registryGate(token),
    mcp: mcpGate(token, await beginSession(gateway, token)),
  };
  bystander = await Lane.open(gateway);
}, test_ms_max);
afterAll(async () => {
  bystander?.close();
  await gateway?.close();
  await Promise.all(Object.values(upstreams ?? {}).map((one) => one.close()));
});

/** What became of a case: nothing where the connection was closed. */
type Judge = (malformed: Malformed, replies: readonly Reply[]) => void;

/** These cases on as few connections as they leave open: many at once where each is whole, and then those that end one. */
async function attackWith(
  cases: readonly Malformed[],
  lane: Lane | undefined,
  judge: Judge,
): Promise<Lane | undefined> {
  const queue = cases.filter(({ ends }) => !ends);
  while (queue.length > 0) {
    if (lane?.open !== true) lane = await Lane.open(gateway);
    lane.say(Buffer.concat(queue.map(({ bytes }) => bytes)));
    // What stands behind the one that ended the connection was not looked at, and is said again.
    for (const malformed of [...queue]) {
      const reply = await lane.next(answer_ms_max);
      if (reply === undefined && malformed !== queue[0]) break;
      judge(malformed, reply === undefined ? [] : [reply]);
      queue.shift();
      if (reply?.last === true) await lane.closed(answer_ms_max);
      if (reply === undefined || reply.last) break;
    }
  }
  for (const malformed of cases.filter(({ ends }) => ends)) {
    if (lane?.open !== true) lane = await Lane.open(gateway);
    lane.say(malformed.bytes);
    // A server that is left before it has answered may do nothing of what it would have done.
    if (malformed.whole) await lane.answered(decided_ms);
    lane.finish();
    judge(malformed, await lane.rest(answer_ms_max));
  }
  return lane;
}

/** By its status; a message of MCP also by what it says. */
function refuses({ status, body }: Reply): boolean {
  if (status >= 400) return true;
  if (status !== 200 || !body.startsWith('{')) return false;
  const { error, result } = JSON.parse(body) as { error?: object; result?: { isError?: boolean } };
  return error !== undefined || result?.isError === true;
}

const shown = (replies: readonly Reply[]) =>
  replies.map(({ status, body }) => `${String(status)} ${body.slice(0, 200)}`).join(' | ');

/** So many cases from this number on; gives what went wrong. */
async function attackAll(make: (number: number) => Malformed, first: number, count: number): Promise<string[]> {
  const wrong: string[] = [];
  const judge: Judge = ({ number, what, bytes }, replies) => {
    if (replies.every(refuses)) return;
    const said = JSON.stringify(bytes.toString('latin1').slice(0, 1_500));
    wrong.push(`case ${String(number)} (${what}): ${said} was answered: ${shown(replies)}`);
  };
  let next = 0;
  const work = async () => {
    let lane: Lane | undefined;
    while (next < count) {
      const from = next;
      next = Math.min(count, next + at_once);
      const cases = Array.from({ length: next - from }, (_, at) => make((first + from + at) >>> 0));
      lane = await attackWith(cases, lane, judge);
    }
    lane?.close();
  };
  await Promise.all(Array.from({ length: lanes_count }, work));
  return wrong;
}

const sockets = ({ handles }: Measured) => handles['TCPSocketWrap'] ?? 0;
const timers = ({ handles }: Measured) => handles['Timeout'] ?? 0;

/** Once there is one connection, which is the bystander's, and no more of anything else than `before`. */
async function settled(before?: Measured): Promise<Measured> {
  const until = Date.now() + settle_ms_max;
  for (;;) {
    const now = await gateway.measure();
    const back =
      sockets(now) <= 1 &&
      (before === undefined ||
        (now.descriptors <= before.descriptors &&
          timers(now) <= timers(before) &&
          now.memory_bytes - before.memory_bytes < memory_growth_bytes_max));
    if (back || Date.now() > until) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** A well-formed request is answered, and is the only one that reached the server. */
async function passes(gate: Gate): Promise<void> {
  bystander.say(written(gate.well));
  expect(await bystander.next(answer_ms_max)).toMatchObject({ status: 200 });
  expect(upstreams[gate.protocol].heard).toHaveLength(1);
  upstreams[gate.protocol].heard.length = 0;
}

describe.each(protocols)('%s', (protocol) => {
  test(
    'what is malformed harms nobody, and leaves nothing behind',
    async () => {
      const gate = gates[protocol];
      const make = malformer(gate);
      await passes(gate);
      // What is loaded, compiled and kept once is no leak.
      expect(await attackAll(make, (seed + requests_count) >>> 0, between)).toEqual([]);
      await passes(gate);
      const before = await settled();
      for (let done = 0; done < requests_count; done += between) {
        expect(await attackAll(make, (seed + done) >>> 0, between)).toEqual([]);
        expect({ seed, heard: upstreams[protocol].heard }).toEqual({ seed, heard: [] });
        await passes(gate);
      }
      const after = await settled(before);
      expect({
        seed,
        sockets: sockets(after),
        descriptors: after.descriptors <= before.descriptors,
        timers: timers(after) <= timers(before),
      }).toEqual({ seed, sockets: 1, descriptors: true, timers: true });
      expect(after.memory_bytes - before.memory_bytes).toBeLessThan(memory_growth_bytes_max);
    },
    test_ms_max,
  );
});
