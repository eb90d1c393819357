import { prompt_chars_max, type PromptText } from '../prompts/prompts.js';
import { isSame } from './access.js';
import type { ApiParts } from './parts.js';
import { notFound } from './problem.js';
import type { App } from './server.js';

const registerSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['text'],
  properties: {
    text: { type: 'string', minLength: 1, maxLength: prompt_chars_max },
    // W3C Trace Context, 3.2: version, trace, parent, flags.
    trace: { type: 'string', pattern: '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' },
  },
};

export function promptRoutes(app: App, { prompts, audit }: ApiParts): void {
  app.post<{ Body: PromptText }>('/prompts', { schema: { body: registerSchema } }, async ({ caller, body }, reply) => {
    const { principal } = caller.identity;
    const prompt = await prompts.register(caller.identity, body);
    const { id, text, trace } = prompt;
    await audit.write(
      {
        kind: 'prompt',
        fields: { prompt_id: id },
        personal: {
          principal: { issuer: principal.issuer, subject: principal.subject },
          prompt: { id, text, ...(trace === undefined ? {} : { trace }) },
        },
      },
      { durable: true },
    );
    return reply.code(201).send({ id });
  });

  app.get<{ Params: { id: string } }>('/prompts/:id', async ({ caller, params }) => {
    const prompt = await prompts.get(params.id);
    if (prompt === undefined) throw notFound('prompt');
    if (!caller.roles.has('auditor') && !isSame(prompt.by, caller.identity.principal)) throw notFound('prompt');
    return prompt;
  });
}
