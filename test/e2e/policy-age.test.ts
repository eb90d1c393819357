import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startWeb, type Web } from '../support/web.js';

/** `policy.age_max`: what a source has not confirmed for so long is not enforced any longer, and is again as soon as it answers. */

const policy = {
  'http.rego': 'package policy.http\n\nallow contains {"code": "all"} if input.operation.http.method != ""\n',
};

let web: Web;
/** How far the gateway's clock is ahead of that by which its source answers. */
let ahead_ms = 0;

beforeAll(async () => {
  const config = { policy: { directory: './policy', age_max: '2m' } };
  web = await startWeb({ policy, config, now: () => Date.now() + ahead_ms });
});
afterAll(() => web?.close());

const ask = async () => web.call('/http/cloud/x', { headers: await web.bearer() });

test('everything is refused once it is too old, and the gateway is not ready; nothing is when its source has answered', async () => {
  expect((await ask()).status).toBe(200);
  expect((await web.call('/readyz')).status).toBe(200);

  ahead_ms = 4 * 60_000;
  const heard = web.upstream.heard.length;
  const refused = await ask();
  expect(refused.status).toBe(403);
  expect(refused.json()).toMatchObject({
    reasons: [
      {
        code: 'policy_outdated',
        message: expect.stringMatching(/source of the policy last answered at 20/) as unknown,
      },
    ],
  });
  expect(web.upstream.heard.length).toBe(heard);
  const ready = await web.call('/readyz');
  expect(ready.status).toBe(503);
  expect(ready.text).toContain('policy.age_max is over');

  ahead_ms = 0;
  expect((await ask()).status).toBe(200);
  expect((await web.call('/readyz')).status).toBe(200);
});
