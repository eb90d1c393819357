import { HookError, type HookProblem, type IncomingHooks } from '../hooks/index.js';
import { addressOf, notFound, Problem } from './problem.js';
import { Rates } from './rates.js';
import type { App, HttpGate } from './server.js';

/** Far more than any answer, or Slack's payload with the message in it. */
const body_bytes_max = 131_072;
/** From one address, messages that were refused: so many at once, and one every other second. */
const refused_burst = 30;
const refused_perSecond = 0.5;

const statuses: Readonly<Record<HookProblem, number>> = {
  unsigned: 401,
  stale: 401,
  signature: 401,
  replayed: 409,
  malformed: 400,
  unknown_person: 403,
  other_team: 403,
  people_unreadable: 503,
  too_many: 429,
};

const guesses: ReadonlySet<HookProblem> = new Set<HookProblem>(['unsigned', 'stale', 'signature']);

/** POST /v1/hooks/NAME: no token, but a signature over the very bytes of the body. */
export function hookGate(incoming: IncomingHooks, now: () => number): HttpGate {
  return {
    name: 'hooks',
    async register(app) {
      const refused = new Rates({ burst: refused_burst, perSecond: refused_perSecond, now });
      await app.register(
        async (scope) => {
          scope.removeAllContentTypeParsers();
          const bytes = { parseAs: 'buffer', bodyLimit: body_bytes_max } as const;
          scope.addContentTypeParser('*', bytes, (_request, body, done) => done(null, body));
          const routes = scope as unknown as App;
          routes.post<{ Params: { name: string } }>('/:name', { bodyLimit: body_bytes_max }, async (request, reply) => {
            const { params, headers, body } = request;
            const address = addressOf(request);
            if (!incoming.has(params.name)) throw notFound('webhook');
            if (!refused.has(address))
              throw new Problem(429, 'too_many', 'too many messages from this address were refused');
            try {
              const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
              const answer = await incoming.receive(params.name, { headers, body: bytes, address });
              return answer ?? (await reply.code(200).send(''));
            } catch (error) {
              if (!(error instanceof HookError)) throw error;
              // What is signed comes from the other side itself: its people's mistakes must not shut it out.
              if (guesses.has(error.reason)) refused.take(address);
              throw new Problem(statuses[error.reason], error.reason, error.message);
            }
          });
        },
        { prefix: '/v1/hooks' },
      );
    },
  };
}
