import type { HttpGate } from './server.js';

/** What keeps the gateway from letting anything through, and what fails while it still does: names of its own parts, no addresses. */
export interface Health {
  readonly reasons: readonly string[];
  readonly warnings: readonly string[];
}

/** For whoever watches the process: no sign-in, and nothing told that an attacker would want. */
export function healthGate(health: () => Health): HttpGate {
  return {
    name: 'health',
    register(app) {
      app.get('/healthz', async () => ({ status: 'ok' }));
      app.get('/readyz', async (_request, reply) => {
        const { reasons, warnings } = health();
        const ready = reasons.length === 0;
        return reply.code(ready ? 200 : 503).send({
          status: ready ? 'ready' : 'not ready',
          ...(ready ? {} : { reasons }),
          ...(warnings.length === 0 ? {} : { warnings }),
        });
      });
    },
  };
}
