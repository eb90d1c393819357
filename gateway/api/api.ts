import { approvalRoutes } from './approvals.js';
import { auditRoutes } from './audit.js';
import { callers, type Caller } from './caller.js';
import { EventStreams, eventRoutes } from './events.js';
import { grantRoutes } from './grants.js';
import type { ApiParts } from './parts.js';
import { policyRoutes } from './policy.js';
import { promptRoutes } from './prompts.js';
import type { App, HttpGate } from './server.js';
import { sessionRoutes } from './sessions.js';
import { whoamiRoutes } from './whoami.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for every route of the API before it is entered. */
    caller: Caller;
  }
}

/** /v1: every route asks for a token first. */
export function apiGate(parts: ApiParts): HttpGate {
  return {
    name: 'api',
    async register(app) {
      await app.register(
        async (scope) => {
          const identify = callers(parts);
          // JSON or nothing: what a form on another site can send is not even read.
          scope.removeContentTypeParser('text/plain');
          scope.decorateRequest('caller');
          scope.addHook('onRequest', async (request) => {
            request.caller = await identify(request);
          });
          const routes = scope as unknown as App;
          const streams = new EventStreams(parts);
          scope.addHook('preClose', async () => streams.close());
          whoamiRoutes(routes);
          approvalRoutes(routes, parts);
          grantRoutes(routes, parts);
          sessionRoutes(routes, parts);
          promptRoutes(routes, parts);
          auditRoutes(routes, parts);
          policyRoutes(routes, parts);
          eventRoutes(routes, streams);
        },
        { prefix: '/v1' },
      );
    },
  };
}
