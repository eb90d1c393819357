import { createHmac, timingSafeEqual, createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { addressOf, Problem } from './problem.js';
import { Rates } from './rates.js';
import type { App, HttpGate } from './server.js';

/** GitHub's largest. */
const body_bytes_max = 25 * 1024 * 1024;
const refused_burst = 10;
const refused_perSecond = 0.2;

/**
 * POST /v1/policy-hook: a forge says that something was pushed, and the repository is asked at once. Nothing of the message
 * is believed but that: what is in force comes from the repository. Signed as GitHub and Gitea do (HMAC-SHA-256 over the body,
 * X-Hub-Signature-256), or with GitLab's token (X-Gitlab-Token).
 */
export function policyHookGate(secret: string, pushed: () => void, now: () => number): HttpGate {
  return {
    name: 'policy hook',
    async register(app) {
      const refused = new Rates({ burst: refused_burst, perSecond: refused_perSecond, now });
      await app.register(
        async (scope) => {
          scope.removeAllContentTypeParsers();
          const bytes = { parseAs: 'buffer', bodyLimit: body_bytes_max } as const;
          scope.addContentTypeParser('*', bytes, (_request, body, done) => done(null, body));
          const routes = scope as unknown as App;
          routes.post('/policy-hook', { bodyLimit: body_bytes_max }, async (request, reply) => {
            const address = addressOf(request);
            if (!refused.has(address))
              throw new Problem(429, 'too_many', 'too many messages from this address were refused');
            const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
            if (!isSigned(request.headers, body, secret)) {
              refused.take(address);
              throw new Problem(401, 'signature', 'the message is not signed with the secret of policy.git.webhook');
            }
            pushed();
            return reply.code(202).send({ status: 'the repository is asked' });
          });
        },
        { prefix: '/v1' },
      );
    },
  };
}

function isSigned(headers: IncomingHttpHeaders, body: Buffer, secret: string): boolean {
  const signature = headers['x-hub-signature-256'];
  if (typeof signature === 'string')
    return isSame(signature, `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const token = headers['x-gitlab-token'];
  return typeof token === 'string' && isSame(token, secret);
}

/** In a time that says nothing of where they differ, nor of how long they are. */
function isSame(given: string, expected: string): boolean {
  const [one, other] = [given, expected].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(one!, other!);
}
