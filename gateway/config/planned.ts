/**
 * What the form of the file has room for and this version does not serve yet. Such parts are checked as far as their
 * known keys go, named in one warning, and left out: a file written for a later version starts an earlier one.
 */

const text = { type: 'string', minLength: 1 };
const file = {
  type: 'object',
  properties: { file: text },
  required: ['file'],
  additionalProperties: false,
  title: '{file: PATH}',
};
const secret = { anyOf: [{ ...text, title: 'a string' }, file] };
const url = { type: 'string', pattern: '^https?://', 'x-problem': 'must be an http:// or https:// URL' };
const credential = { type: 'object', properties: { bearer: secret, basic: secret } };

/** Protocol: the known keys of its upstream. */
export const plannedProtocols: Readonly<Record<string, object>> = {
  postgres: { type: 'object' },
  ssh: { type: 'object' },
  kubernetes: { type: 'object' },
  http: { type: 'object', properties: { url, credential, openapi: file }, required: ['url'] },
  registry: { type: 'object', properties: { url, credential }, required: ['url'] },
  mcp: { type: 'object', properties: { url, credential, command: { type: 'array', items: text, minItems: 1 } } },
};

/** Listeners that are named after no single protocol (https carries several) or whose protocol is not built. */
export const plannedListeners: readonly string[] = ['postgres', 'ssh', 'https'];
