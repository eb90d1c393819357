import type { Mount, Services } from '../../protocol.js';
import { answerOf, ConnectionSessions } from '../../web/index.js';
import type { KubernetesUpstream } from './config.js';
import { Exchange, type Parts } from './exchange.js';
import { Refusals } from './streams/refusals.js';
import { KubernetesTarget } from './upstream.js';

/** `https://gateway/kubernetes/TARGET`: an API server, of which each request is one operation. */

export function kubernetesGate(services: Services): Mount {
  const targets = new Map<string, KubernetesTarget>();
  const exchanges = new Set<Exchange>();
  const targetOf = (name: string, upstream: KubernetesUpstream) => {
    let target = targets.get(name);
    if (target === undefined) targets.set(name, (target = new KubernetesTarget(upstream)));
    return target;
  };
  const parts: Parts = { services, sessions: new ConnectionSessions(), targetOf, refusals: new Refusals() };
  const run = (exchange: Exchange) => {
    exchanges.add(exchange);
    void exchange.run().finally(() => exchanges.delete(exchange));
  };
  return {
    prefix: '/kubernetes/',
    serve: (request, response) => run(new Exchange(request, response, parts)),
    upgrade: (request, socket, head) => run(new Exchange(request, answerOf(request, socket), parts, { socket, head })),
    close: async () => {
      for (const exchange of exchanges) exchange.stop();
      for (const target of targets.values()) target.close();
    },
  };
}
