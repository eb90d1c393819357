import { publishedLimits, publishedSchema, type PublishedReport } from '../replay/index.js';
import { demand } from './caller.js';
import { needed, type ApiParts } from './parts.js';
import { notFound, Problem } from './problem.js';
import { Rates } from './rates.js';
import { recordAct } from './record.js';
import type { App } from './server.js';

/**
 * What replays found (`sallyport replay --publish`). They name principals and rules, so they are for whoever may look through the
 * audit; to publish one is a right of its own, which a robot can have that may see nothing else.
 */

/** Of one person: so many at once, and one every half minute. */
const published_burst = 20;
const published_perSecond = 1 / 30;

export function replayRoutes(app: App, parts: ApiParts): void {
  const rates = new Rates({ burst: published_burst, perSecond: published_perSecond, now: parts.now });
  const shelf = () => needed(parts.replays, 'reports of replays');

  app.post<{ Body: PublishedReport }>(
    '/replays',
    {
      bodyLimit: publishedLimits.report_bytes_max,
      schema: { body: publishedSchema },
      // Before its body is read.
      onRequest: async ({ caller }) => demand(caller, 'publisher'),
    },
    async ({ caller, body }, reply) => {
      const { issuer, subject } = caller.identity.principal;
      if (!rates.take(JSON.stringify([issuer, subject])))
        throw new Problem(429, 'too_many', 'too many reports were published; try again in a minute', {
          'retry-after': '60',
        });
      const id = shelf().name();
      const { before, after } = body;
      await recordAct(parts.audit, caller, 'replay_publish', { report: id, before, after });
      const { published_ms } = await shelf().add(id, body, { issuer, subject });
      return reply.code(201).send({ id, published: new Date(published_ms).toISOString() });
    },
  );

  app.get('/replays', async ({ caller }) => {
    demand(caller, 'auditor');
    return { replays: (await shelf().list()).map(dated) };
  });

  app.get<{ Params: { id: string } }>('/replays/:id', async ({ caller, params }) => {
    demand(caller, 'auditor');
    const found = await shelf().get(params.id);
    if (found === undefined) throw notFound('report');
    return { ...dated(found.shelved), report: found.report };
  });
}

const dated = <T extends { readonly published_ms: number }>({ published_ms, ...rest }: T) => ({
  ...rest,
  published: new Date(published_ms).toISOString(),
});
