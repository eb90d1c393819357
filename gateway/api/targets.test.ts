import Fastify from 'fastify';
import { expect, test } from '@jest/globals';
import type { Caller } from './caller.js';
import type { ApiParts } from './parts.js';
import { Problem } from './problem.js';
import type { App } from './server.js';
import { targetRoutes } from './targets.js';

test('lists of targets are not made for one person as often as that one likes, and are for others meanwhile', async () => {
  const app = Fastify();
  app.decorateRequest('caller');
  let subject = 'one';
  app.addHook('onRequest', async (request) => {
    const identity = { principal: { issuer: 'https://idp.example', subject } };
    request.caller = { identity } as unknown as Caller;
  });
  app.setErrorHandler(async (error, _request, reply) =>
    reply.code(error instanceof Problem ? error.status : 500).send(''),
  );
  const foresight = { offered: () => [] };
  targetRoutes(app as unknown as App, { foresight, reachable: () => undefined, now: () => 0 } as unknown as ApiParts);
  const list = async () => (await app.inject('/targets')).statusCode;
  const answers = [];
  for (let time = 0; time < 61; time += 1) answers.push(await list());
  expect([answers[0], answers[59], answers[60]]).toEqual([200, 200, 429]);
  subject = 'other';
  expect(await list()).toBe(200);
  await app.close();
});
