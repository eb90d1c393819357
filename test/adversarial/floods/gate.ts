import { brokenJson } from './broken.js';
import { replaced, type Draft, type Way, type Ways } from './draft.js';

/** The gates that speak HTTP: what a well-formed request is at each, and what is malformed at it alone. */
export interface Gate {
  readonly protocol: 'http' | 'kubernetes' | 'registry' | 'mcp';
  /** Reaches the upstream once. */
  readonly well: Draft;
  /** Has a body, which is JSON. */
  readonly carrying: Draft;
  readonly own: Ways;
}

export const request = (fields: Draft['fields'], method: string, target: string, body = ''): Draft => ({
  ...{ method, target, version: 'HTTP/1.1', body: Buffer.from(body) },
  fields: [['Host', 'localhost'], ...fields, ...(body === '' ? [] : [['Content-Type', 'application/json'] as const])],
});

export const bearer = (token: string) => [['Authorization', `Bearer ${token}`]] as const;
export const asJson: Way = (draft, from) => ({ ...draft, body: brokenJson(from) });
export const otherType =
  (...types: string[]): Way =>
  (draft, from) =>
    replaced(draft, 'content-type', from.pick(types));
