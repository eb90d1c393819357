import type { Operation } from '#engine';
import { sha256 } from '../../../web/index.js';
import type { HttpOperation } from '../schema.js';
import { writePlace, type Place } from './hosts.js';

/**
 * A tunnel to a place: opaque, as nobody sees what is said in it.
 *
 * @param intercepted Every request in it is judged by itself: then it is not.
 */
export function tunnelOf(place: Place, intercepted = false): Operation {
  const host = writePlace(place);
  const http: HttpOperation = {
    method: 'CONNECT',
    scheme: 'https',
    host,
    path: '',
    segments: [],
    query: {},
    headers: {},
    credentials: [],
    connect: { host: place.host, port: place.port, intercepted },
  };
  return {
    stage: 'execute',
    action: 'connect',
    resources: [{ type: 'host', name: host, access: 'use' }],
    opaque: !intercepted,
    hash: sha256(JSON.stringify(['CONNECT', host, intercepted])),
    http,
  };
}
