import { createHash } from 'node:crypto';
import type { Action, Operation, Resource } from '#engine';
import { ConfigError } from '../errors.js';

const methods: Readonly<Record<string, readonly [Action, Resource['access']]>> = {
  GET: ['read', 'read'],
  HEAD: ['read', 'read'],
  OPTIONS: ['read', 'read'],
  POST: ['write', 'insert'],
  PUT: ['write', 'update'],
  PATCH: ['write', 'update'],
  DELETE: ['delete', 'delete'],
};

/** An HTTP request without a body, from "GET /v1/users?limit=5". */
export function readRequest(line: string): Operation {
  const [method = '', target = ''] = line.trim().split(/\s+/);
  const known = methods[method.toUpperCase()];
  if (known === undefined || !target.startsWith('/'))
    throw new ConfigError(`"${line}" is no request: write a method and a path, as in "GET /v1/users?limit=5"`);
  // Behind two slashes would be a host.
  const url = new URL(`http://target.invalid${target}`);
  const segments = url.pathname.split('/').slice(1).map(decodeURIComponent);
  const names = [...new Set(url.searchParams.keys())];
  const query = Object.fromEntries(names.map((name) => [name, url.searchParams.getAll(name)]));
  const [action, access] = known;
  return {
    ...{ stage: 'execute', action, opaque: false },
    resources: [{ type: 'path', name: url.pathname, access }],
    hash: createHash('sha256').update(line).digest('hex'),
    http: {
      ...{ method: method.toUpperCase(), scheme: 'https', host: 'target.invalid:443', path: url.pathname + url.search },
      ...{ segments, query, headers: {}, credentials: [] },
    },
  };
}
