import type { Mount, Services } from '../../protocol.js';
import { mountOf, TargetPool } from '../../web/index.js';
import type { KubernetesUpstream } from './config.js';
import { KubernetesExchange } from './exchange.js';
import { Refusals } from './streams/refusals.js';
import { KubernetesTarget } from './upstream.js';

/** `https://gateway/kubernetes/TARGET`: an API server, of which each request is one operation. */

export function kubernetesGate(services: Services): Mount {
  const targets = new TargetPool<KubernetesUpstream, KubernetesTarget>(
    (upstream, renewed) => new KubernetesTarget(upstream, renewed),
  );
  const own = { targets, refusals: new Refusals() };
  return mountOf(
    '/kubernetes/',
    services,
    (request, response, parts, upgrade) => new KubernetesExchange(request, response, { ...parts, ...own }, upgrade),
    () => {
      targets.close();
    },
    true,
  );
}
