import type { Operation } from '#engine';
import { sha256 } from '../../../web/index.js';
import type { HttpOperation } from '../schema.js';
import { writePlace, type Place } from './hosts.js';

/** A tunnel to a place: opaque, as nobody sees what is said in it. */
export function tunnelOf(place: Place): Operation {
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
    connect: { host: place.host, port: place.port },
  };
  return {
    stage: 'execute',
    action: 'connect',
    resources: [{ type: 'host', name: host, access: 'use' }],
    opaque: true,
    hash: sha256(JSON.stringify(['CONNECT', host])),
    http,
  };
}
