/**
 * The servers behind the gates, in one process: for clients that come straight to it with TLS, and for proxies in clear, as a proxy
 * that ends TLS for somebody has it.
 *
 *   node --import ./bench/typescript.mjs bench/gates/upstream.ts CERTIFICATE KEY      prints the ports: in clear, and with TLS
 */
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { answerTo } from './asked.js';

const [, , certificate = '', key = ''] = process.argv;

const serve: RequestListener = (request, response) => {
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    const { status, fields, text } = answerTo(request.method ?? '', request.url ?? '', body);
    response.writeHead(status, { ...fields, 'content-length': Buffer.byteLength(text) });
    response.end(text);
  });
};

const clear = createServer({ keepAliveTimeout: 600_000 }, serve);
const secure = createSecureServer(
  { cert: readFileSync(certificate), key: readFileSync(key), keepAliveTimeout: 600_000 },
  serve,
);
const portOf = (server: typeof clear | typeof secure) => String((server.address() as AddressInfo).port);
clear.listen(0, '127.0.0.1', () =>
  secure.listen(0, '127.0.0.1', () => console.log(`${portOf(clear)} ${portOf(secure)}`)),
);
process.on('SIGTERM', () => process.exit(0));
