import type { Access, Action } from '#engine';

/**
 * The methods that there are, what each does, and what it may be told. What is not here is refused, and so is a parameter that is
 * not named: a server of a later version might make something of it.
 *
 * @see https://modelcontextprotocol.io/specification/2025-06-18/schema
 */
export interface Method {
  readonly action: Action;
  readonly access: Access;
  /** Each parameter, and whether a value can be one. `_meta` may stand in all. */
  readonly params: Readonly<Record<string, Parameter>>;
}

export interface Parameter {
  readonly fits: (value: unknown) => boolean;
  /** In words, for a refusal: "a text of at most 8192 characters". */
  readonly wanted: string;
  readonly optional?: boolean;
}

export type JsonObject = Readonly<Record<string, unknown>>;
export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Versions that the gateway speaks, the latest first. */
export const versions = ['2025-06-18', '2025-03-26'] as const;
const name_chars_max = 8_192;

const text = (chars_max = name_chars_max): Parameter => ({
  fits: (value) => typeof value === 'string' && value !== '' && value.length <= chars_max,
  wanted: `a text of 1 to ${chars_max} characters`,
});
const object: Parameter = { fits: isObject, wanted: 'an object' };
const maybe = (parameter: Parameter): Parameter => ({ ...parameter, optional: true });
const texts: Parameter = {
  fits: (value) => isObject(value) && Object.values(value).every((each) => typeof each === 'string'),
  wanted: 'an object of texts',
};
const id: Parameter = {
  fits: (value) => isId(value),
  wanted: 'a whole number, or a text of at most 128 characters',
};
const amount: Parameter = { fits: (value) => typeof value === 'number', wanted: 'a number' };
const level: Parameter = {
  fits: (value) =>
    ['debug', 'info', 'notice', 'warning', 'error', 'critical', 'alert', 'emergency'].includes(value as string),
  wanted: 'a level of RFC 5424 ("warning")',
};
const reference: Parameter = {
  fits: (value) => {
    if (!isObject(value)) return false;
    const { type, ...rest } = value;
    const key = type === 'ref/prompt' ? 'name' : type === 'ref/resource' ? 'uri' : undefined;
    return key !== undefined && onlyTexts(rest, [key, 'title']) && typeof rest[key] === 'string';
  },
  wanted: '{"type": "ref/prompt", "name": …} or {"type": "ref/resource", "uri": …}',
};
const argument: Parameter = {
  fits: (value) =>
    isObject(value) &&
    onlyTexts(value, ['name', 'value']) &&
    typeof value['name'] === 'string' &&
    typeof value['value'] === 'string',
  wanted: '{"name": …, "value": …}',
};
const context: Parameter = {
  fits: (value) =>
    isObject(value) &&
    Object.keys(value).every((key) => key === 'arguments') &&
    (value['arguments'] === undefined || texts.fits(value['arguments'])),
  wanted: '{"arguments": {…}}',
};

function onlyTexts(value: JsonObject, names: readonly string[]): boolean {
  return Object.entries(value).every(([key, each]) => names.includes(key) && typeof each === 'string');
}

/** Of a request, and of progress. JSON-RPC allows fractions and null, MCP neither. */
export function isId(value: unknown): value is string | number {
  return typeof value === 'string' ? value.length <= 128 : Number.isSafeInteger(value);
}

const reads = (params: Method['params']): Method => ({ action: 'read', access: 'read', params });
const moves = (params: Method['params']): Method => ({ action: 'session', access: 'use', params });
const paged = { cursor: maybe(text()) };

/** What a client may ask, by name. */
export const requests: Readonly<Record<string, Method>> = {
  initialize: {
    action: 'connect',
    access: 'use',
    params: { protocolVersion: text(64), capabilities: object, clientInfo: object },
  },
  ping: moves({}),
  'logging/setLevel': moves({ level }),
  'tools/list': reads(paged),
  'tools/call': { action: 'execute', access: 'execute', params: { name: text(128), arguments: maybe(object) } },
  'resources/list': reads(paged),
  'resources/templates/list': reads(paged),
  'resources/read': reads({ uri: text() }),
  'resources/subscribe': reads({ uri: text() }),
  'resources/unsubscribe': moves({ uri: text() }),
  'prompts/list': reads(paged),
  'prompts/get': reads({ name: text(), arguments: maybe(texts) }),
  'completion/complete': reads({ ref: reference, argument, context: maybe(context) }),
};

/** What a client may tell. */
export const notifications: Readonly<Record<string, Method>> = {
  'notifications/initialized': moves({}),
  'notifications/cancelled': moves({ requestId: id, reason: maybe(text()) }),
  'notifications/progress': moves({
    progressToken: id,
    progress: amount,
    total: maybe(amount),
    message: maybe(text()),
  }),
  'notifications/roots/list_changed': moves({}),
};

/** What a server may ask of the client: data that goes from there to it. */
export const serverRequests: ReadonlySet<string> = new Set([
  'sampling/createMessage',
  'elicitation/create',
  'roots/list',
]);

/** What a server may tell. Progress, which belongs to a request, is not among them. */
export const serverNotifications: ReadonlySet<string> = new Set([
  'notifications/message',
  'notifications/resources/updated',
  'notifications/resources/list_changed',
  'notifications/tools/list_changed',
  'notifications/prompts/list_changed',
]);
