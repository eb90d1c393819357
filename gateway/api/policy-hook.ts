import { createHmac, timingSafeEqual, createHash } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
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
          scope.addContentTypeParser('*', async (_request: unknown, payload: IncomingMessage) =>
            signatureOf(payload, secret),
          );
          // Before its body is read: whoever was refused costs nothing more.
          scope.addHook('onRequest', async (request) => {
            if (!refused.has(addressOf(request)))
              throw new Problem(429, 'too_many', 'too many messages from this address were refused');
          });
          const routes = scope as unknown as App;
          routes.post('/policy-hook', async (request, reply) => {
            const expected = typeof request.body === 'string' ? request.body : await signatureOf([], secret);
            if (!isSigned(request.headers, expected, secret)) {
              refused.take(addressOf(request));
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

/**
 * What a body has to be signed with. It is hashed as it comes, and not kept: before its end nobody knows who sends it, and
 * many large ones at once would take all memory there is.
 */
async function signatureOf(body: AsyncIterable<Buffer> | Iterable<Buffer>, secret: string): Promise<string> {
  const mac = createHmac('sha256', secret);
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > body_bytes_max) throw new Problem(413, 'too_large', `a message has at most ${body_bytes_max} bytes`);
    mac.update(chunk);
  }
  return `sha256=${mac.digest('hex')}`;
}

/** @param expected The signature that fits its body. */
function isSigned(headers: IncomingHttpHeaders, expected: string, secret: string): boolean {
  const signature = headers['x-hub-signature-256'];
  if (typeof signature === 'string') return isSame(signature, expected);
  const token = headers['x-gitlab-token'];
  return typeof token === 'string' && isSame(token, secret);
}

/** In a time that says nothing of where they differ, nor of how long they are. */
function isSame(given: string, expected: string): boolean {
  const [one, other] = [given, expected].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(one!, other!);
}
