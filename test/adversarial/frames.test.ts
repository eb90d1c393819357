import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { kubeconfig } from '../support/api-server.js';
import { createContainer, type Container } from '../support/container.js';
import { startWeb, type Web } from '../support/web.js';
import { newSeed } from './corruptions.js';
import { attackWithFrames, Bystander, hostileServer } from './floods/frame-attack.js';

/**
 * Malformed frames of WebSocket, of its channels and of SPDY in it, from clients and from API servers: each stream ends soon and with a
 * word, nothing is left open, and a session beside them goes on. The long form has thousands, and measures.
 *
 * A failure says the number of its case: SALLYPORT_SEED=<number> runs that one first.
 */
const cases_count = 300;
const settle_ms_max = 20_000;
const seed = Number(process.env['SALLYPORT_SEED'] ?? newSeed());

const policy = {
  'kubernetes.rego': 'package policy.kubernetes\n\nallow contains {"code": "all"} if input.version == 1\n',
};
let web: Web;
let container: Container;
let bystander: Bystander;
let token: string;
let open = 0;

beforeAll(async () => {
  container = createContainer();
  web = await startWeb({ policy, protocol: 'kubernetes', upstream: (port) => ({ kubeconfig: kubeconfig(port) }) });
  web.upstream.upgrades((request, socket, head) => {
    open++;
    socket.once('close', () => open--);
    if (!hostileServer(request, socket)) container.upgrade(request, socket, head);
  });
  token = await web.gateway.token();
  bystander = await Bystander.open({ host: '127.0.0.1', port: web.port, ca: web.ca }, token);
});
afterAll(async () => {
  bystander?.close();
  await web?.close();
  container?.close();
});

const sockets = () => process.getActiveResourcesInfo().filter((kind) => /^(TCP|TLS)/.test(kind)).length;

test('each ends with a word, and leaves nothing behind', async () => {
  await bystander.echoes('before');
  const before = sockets();
  const place = { host: '127.0.0.1', port: web.port, ca: web.ca };
  expect(await attackWithFrames(place, token, bystander, { first: seed, count: cases_count })).toEqual([]);
  for (const until = Date.now() + settle_ms_max; (open > 1 || sockets() > before) && Date.now() < until;)
    await new Promise((resolve) => setTimeout(resolve, 20));
  expect({ seed, open, left: sockets() > before }).toEqual({ seed, open: 1, left: false });
  await bystander.echoes('after');
}, 120_000);
