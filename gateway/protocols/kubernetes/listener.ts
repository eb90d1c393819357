import type { Mount, Services } from '../../protocol.js';
import { mountOf } from '../../web/index.js';
import type { KubernetesUpstream } from './config.js';
import { KubernetesExchange } from './exchange.js';
import { Refusals } from './streams/refusals.js';
import { KubernetesTarget } from './upstream.js';

/** `https://gateway/kubernetes/TARGET`: an API server, of which each request is one operation. */

export function kubernetesGate(services: Services): Mount {
  const targets = new Map<string, KubernetesTarget>();
  const targetOf = (name: string, upstream: KubernetesUpstream) => {
    let target = targets.get(name);
    if (target === undefined) targets.set(name, (target = new KubernetesTarget(upstream)));
    return target;
  };
  const own = { targetOf, refusals: new Refusals() };
  return mountOf(
    '/kubernetes/',
    services,
    (request, response, parts, upgrade) => new KubernetesExchange(request, response, { ...parts, ...own }, upgrade),
    () => {
      for (const target of targets.values()) target.close();
    },
    true,
  );
}
