import type { HttpGate } from './server.js';

/** For whoever watches the process: no sign-in, and nothing told that an attacker would want. */
export function healthGate(ready: () => boolean): HttpGate {
  return {
    name: 'health',
    register(app) {
      app.get('/healthz', async () => ({ status: 'ok' }));
      app.get('/readyz', async (_request, reply) => {
        const yes = ready();
        return reply.code(yes ? 200 : 503).send({ status: yes ? 'ready' : 'no policy is in force' });
      });
    },
  };
}
