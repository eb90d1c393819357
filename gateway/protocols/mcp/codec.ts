import { bodyOf, RequestRefusal } from '../../web/index.js';
import { isId, isObject, notifications, requests, type JsonObject, type Method } from './methods.js';

/**
 * From the bytes of a request to one message of JSON-RPC 2.0, in the one way in which it can be read. What leaves is written anew
 * from what was read. Pure: no network, no clock.
 */
export type Message = ClientRequest | ClientNotification | ClientResponse;
export type Id = string | number;

export interface ClientRequest {
  readonly kind: 'request';
  readonly id: Id;
  readonly method: string;
  readonly means: Method;
  readonly params: JsonObject;
  readonly meta: JsonObject;
}
export interface ClientNotification {
  readonly kind: 'notification';
  readonly method: string;
  readonly means: Method;
  readonly params: JsonObject;
  readonly meta: JsonObject;
}
/** The client's answer to what a server asked. */
export interface ClientResponse {
  readonly kind: 'response';
  readonly id: Id;
  readonly result?: JsonObject;
  readonly error?: { readonly code: number; readonly message: string };
}

/** Codes of JSON-RPC 2.0 (5.1), and one of the gateway's own. */
export const rpc = {
  parse: -32_700,
  invalid: -32_600,
  method: -32_601,
  params: -32_602,
  internal: -32_603,
  /** Denied, or waiting for people: `data` has the reasons. */
  denied: -32_003,
} as const;

/** A message that is none, or that is not understood: answered here, and nothing of it is sent. */
export class MessageRefusal extends RequestRefusal {
  readonly rpc: number;
  /** Null where it cannot be told. */
  readonly id: Id | null;

  constructor(status: number, reason: string, message: string, code: number, id: Id | null = null) {
    super(status, reason, message);
    this.rpc = code;
    this.id = id;
  }
}

const refused = (reason: string, message: string, id?: Id | null) =>
  new MessageRefusal(400, reason, message, rpc.invalid, id);

/** "/mcp/TARGET", and nothing behind it. */
export function addressed(raw: string): string {
  const [, target] = /^\/mcp\/([A-Za-z0-9][A-Za-z0-9._-]{0,62})$/.exec(raw) ?? [];
  if (target === undefined) throw new RequestRefusal(404, 'unknown_target', 'name a target and no more: /mcp/TARGET');
  return target;
}

/** @param fields Of the request, by lower-case name. Throws RequestRefusal. */
export function readMessage(bytes: Buffer, fields: ReadonlyMap<string, string>): Message {
  if (bytes.length === 0) throw refused('body_missing', 'the request has no body: send one message of JSON-RPC');
  const { seen } = bodyOf(bytes, fields, { repeated: new Set() });
  if (seen?.media_type !== 'application/json') {
    throw new MessageRefusal(415, 'content_type', 'send the message as application/json', rpc.invalid);
  }
  if (seen.kind !== 'json') {
    throw new MessageRefusal(413, 'body_too_large', 'a message may have at most 1 MiB', rpc.invalid);
  }
  return messageOf(seen.json);
}

export function messageOf(json: unknown): Message {
  if (Array.isArray(json)) throw refused('batch', 'one message at a time: batches are not taken');
  if (!isObject(json)) throw refused('message_form', 'the message is no object');
  const { jsonrpc, id, method } = json;
  const known = isId(id) ? id : null;
  if (jsonrpc !== '2.0') throw refused('jsonrpc', 'the message does not say "jsonrpc": "2.0"', known);
  if ('id' in json && known === null) {
    throw refused('id', 'an id is a whole number or a text of at most 128 characters');
  }
  if (!('method' in json)) return responseOf(json, known);
  if (typeof method !== 'string') throw refused('method_form', 'the method is no text', known);
  only(json, ['jsonrpc', 'id', 'method', 'params'], known);
  const params = json['params'] ?? {};
  if (!isObject(params) || ('params' in json && json['params'] === null)) {
    throw refused('params_form', 'params has to be an object', known);
  }
  return known === null ? notificationOf(method, params) : requestOf(known, method, params);
}

function requestOf(id: Id, method: string, params: JsonObject): ClientRequest {
  const means = Object.hasOwn(requests, method) ? requests[method] : undefined;
  if (means === undefined) {
    const hint = Object.hasOwn(notifications, method) ? ': it is a notification, and has no id' : '';
    throw new MessageRefusal(200, 'method_unknown', `this gateway knows no such method${hint}`, rpc.method, id);
  }
  return { kind: 'request', id, method, means, ...checked(method, params, means, id) };
}

function notificationOf(method: string, params: JsonObject): ClientNotification {
  const means = Object.hasOwn(notifications, method) ? notifications[method] : undefined;
  if (means === undefined)
    throw new MessageRefusal(400, 'method_unknown', 'this gateway knows no such notification', rpc.method);
  return { kind: 'notification', method, means, ...checked(method, params, means, null) };
}

function checked(
  method: string,
  { _meta: meta = {}, ...params }: JsonObject,
  { params: known }: Method,
  id: Id | null,
): { readonly params: JsonObject; readonly meta: JsonObject } {
  const wrong = (reason: string, message: string) =>
    new MessageRefusal(id === null ? 400 : 200, reason, `${method}: ${message}`, rpc.params, id);
  if (!isObject(meta)) throw wrong('meta_form', '_meta has to be an object');
  if ('progressToken' in meta && !isId(meta['progressToken'])) {
    throw wrong('meta_form', 'a progressToken is a whole number or a text of at most 128 characters');
  }
  for (const name of Object.keys(params)) {
    if (!Object.hasOwn(known, name))
      throw wrong('parameter_unknown', 'it has a parameter that this gateway does not know');
  }
  for (const [name, { fits, wanted, optional = false }] of Object.entries(known)) {
    const there = Object.hasOwn(params, name);
    if (there ? !fits(params[name]) : !optional) throw wrong('parameter_form', `${name} has to be ${wanted}`);
  }
  return { params, meta };
}

function responseOf(json: JsonObject, id: Id | null): ClientResponse {
  const { result, error } = json;
  if (id === null || 'result' in json === 'error' in json) {
    throw refused('message_form', 'the message is neither a request, a notification nor a response', id);
  }
  only(json, ['jsonrpc', 'id', 'result', 'error'], id);
  if ('result' in json) {
    if (!isObject(result)) throw refused('message_form', 'the result is no object', id);
    return { kind: 'response', id, result };
  }
  const { code, message } = isObject(error) ? error : {};
  if (typeof code !== 'number' || typeof message !== 'string') {
    throw refused('message_form', 'the error has no code and message', id);
  }
  return { kind: 'response', id, error: { code, message } };
}

function only(json: JsonObject, names: readonly string[], id: Id | null): void {
  if (!Object.keys(json).every((name) => names.includes(name))) {
    throw refused('message_form', `beside ${names.join(', ')} a message has nothing`, id);
  }
}

export const requestText = (id: Id, method: string, params: JsonObject): string =>
  JSON.stringify({ jsonrpc: '2.0', id, method, params });
export const notificationText = (method: string, params: JsonObject): string =>
  JSON.stringify({ jsonrpc: '2.0', method, ...(Object.keys(params).length === 0 ? {} : { params }) });
export const resultText = (id: Id, result: JsonObject): string => JSON.stringify({ jsonrpc: '2.0', id, result });
export const errorText = (id: Id | null, code: number, message: string, data?: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id, error: { code, message, ...(data === undefined ? {} : { data }) } });
/** @param raw Of the result or the error, as the server wrote it or as masks left it. */
export const responseText = (id: Id, part: 'result' | 'error', raw: string): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"${part}":${raw}}`;
