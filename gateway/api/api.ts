import type { FastifyRequest } from 'fastify';
import { letIn } from '../web/index.js';
import { approvalRoutes } from './approvals.js';
import { askingRoutes } from './asking.js';
import { auditRoutes } from './audit.js';
import { callers, type Caller } from './caller.js';
import { EventStreams, eventRoutes } from './events.js';
import { grantRoutes } from './grants.js';
import type { ApiParts } from './parts.js';
import { policyRoutes } from './policy.js';
import { Problem } from './problem.js';
import { promptRoutes } from './prompts.js';
import { recordingRoutes } from './recordings.js';
import { replayRoutes } from './replays.js';
import type { App, HttpGate } from './server.js';
import { sessionRoutes } from './sessions.js';
import { targetRoutes } from './targets.js';
import { certificateRoutes } from './ssh-certificates.js';
import { ticketRoutes } from './tickets.js';
import { tokenRoutes } from './tokens.js';
import { whoamiRoutes } from './whoami.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Set for every route of the API before it is entered. */
    caller: Caller;
  }
}

/** A way into the API: where its routes stand, and who a request comes from. It rejects where that is nobody. */
export interface ApiDoor {
  readonly name: string;
  readonly prefix: string;
  identify(request: FastifyRequest): Promise<Caller>;
}

/** /v1, for whoever has a token; the console has a door of its own. Behind each, every route asks who it is first. */
export function apiGate(
  parts: ApiParts,
  door: ApiDoor = { name: 'api', prefix: '/v1', identify: callers(parts) },
): HttpGate {
  return {
    name: door.name,
    async register(app) {
      await app.register(
        async (scope) => {
          // JSON or nothing: what a form on another site can send is not even read.
          scope.removeContentTypeParser('text/plain');
          scope.decorateRequest('caller');
          scope.addHook('onRequest', async (request) => {
            request.caller = await door.identify(request);
            // However they came: a session of the console outlives the sign-in that began it.
            parts.revocations?.check(request.caller.identity);
            const full = letIn(request.raw.socket, request.caller.identity.principal);
            if (full !== undefined) throw new Problem(503, 'too_many_connections', full, { 'retry-after': '5' });
          });
          const routes = scope as unknown as App;
          const streams = new EventStreams(parts);
          scope.addHook('preClose', async () => streams.close());
          whoamiRoutes(routes);
          approvalRoutes(routes, parts);
          grantRoutes(routes, parts);
          sessionRoutes(routes, parts);
          tokenRoutes(routes, parts);
          ticketRoutes(routes, parts);
          certificateRoutes(routes, parts);
          targetRoutes(routes, parts);
          promptRoutes(routes, parts);
          askingRoutes(routes, parts);
          auditRoutes(routes, parts);
          recordingRoutes(routes, parts);
          policyRoutes(routes, parts);
          replayRoutes(routes, parts);
          eventRoutes(routes, streams);
        },
        { prefix: door.prefix },
      );
    },
  };
}
