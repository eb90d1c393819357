import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { kubeconfig } from '../support/api-server.js';
import { createContainer, type Container } from '../support/container.js';
import { startMeasuredGateway, type Measured, type MeasuredGateway } from '../support/measured-gateway.js';
import { newSeed } from './corruptions.js';
import { attackWithFrames, Bystander, hostileServer } from './floods/frame-attack.js';
import { serveAnything, startUpstream, type Upstream } from './floods/upstream.js';

/** The same as frames.test.ts with thousands of cases, at a gateway in a process of its own: it holds afterwards what it held before. */
const cases_count = 4_000;
const settle_ms_max = 60_000;
const growth_bytes_max = 12 * 1024 * 1024;
const test_ms_max = 600_000;
const seed = Number(process.env['SALLYPORT_SEED'] ?? newSeed());

let gateway: MeasuredGateway;
let upstream: Upstream;
let container: Container;
let bystander: Bystander;
let token: string;

beforeAll(async () => {
  container = createContainer();
  upstream = await startUpstream(serveAnything, (request, socket, head) => {
    if (!hostileServer(request, socket)) container.upgrade(request, socket, head);
  });
  gateway = await startMeasuredGateway({
    policy: {
      'kubernetes.rego': 'package policy.kubernetes\n\nallow contains {"code": "all"} if input.version == 1\n',
    },
    targets: [{ name: 'cloud', protocol: 'kubernetes', upstream: { kubeconfig: kubeconfig(upstream.port) } }],
  });
  token = await gateway.idp.issueToken({ expiresIn: 3_500 });
  bystander = await Bystander.open(gateway, token);
}, test_ms_max);
afterAll(async () => {
  bystander?.close();
  await gateway?.close();
  await upstream?.close();
  container?.close();
});

const sockets = ({ handles }: Measured) => handles['TCPSocketWrap'] ?? 0;

/** Once the bystander's two connections are all that there is, and no more of anything else than `before`. */
async function settled(before?: Measured): Promise<Measured> {
  for (const until = Date.now() + settle_ms_max; ;) {
    const now = await gateway.measure();
    const back =
      sockets(now) <= 2 &&
      (before === undefined ||
        (now.descriptors <= before.descriptors && now.memory_bytes - before.memory_bytes < growth_bytes_max));
    if (back || Date.now() > until) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test(
  'thousands of malformed frames harm nobody, and leave nothing behind',
  async () => {
    // What is loaded, compiled and kept once is no leak.
    expect(await attackWithFrames(gateway, token, bystander, { first: seed + cases_count, count: 300 })).toEqual([]);
    const before = await settled();
    expect(await attackWithFrames(gateway, token, bystander, { first: seed, count: cases_count })).toEqual([]);
    const after = await settled(before);
    expect({ seed, sockets: sockets(after), descriptors: after.descriptors <= before.descriptors }).toEqual({
      ...{ seed, sockets: 2, descriptors: true },
    });
    expect(after.memory_bytes - before.memory_bytes).toBeLessThan(growth_bytes_max);
    await bystander.echoes('after');
  },
  test_ms_max,
);
