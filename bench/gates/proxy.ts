/**
 * The plain proxy: what Node's own modules make of it. TLS ends here, a connection to the server is kept for the next request, fields
 * and bodies go on as they came. What the gateway takes beyond this is reading, judging, recording and masking.
 *
 *   node --import ./bench/typescript.mjs bench/gates/proxy.ts CERTIFICATE KEY PORT      prints the port that it listens on
 */
import { readFileSync } from 'node:fs';
import { Agent, request as ask } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';

const [, , certificate = '', key = '', port = '80'] = process.argv;
const agent = new Agent({ keepAlive: true, maxSockets: 2_000, scheduling: 'lifo' });

const server = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key), keepAliveTimeout: 600_000 },
  (request, response) => {
    const { method, url: path, headers } = request;
    const asked = ask({ host: '127.0.0.1', port: Number(port), agent, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
      answer.pipe(response);
    });
    asked.on('error', () => response.destroy());
    response.on('close', () => asked.destroy());
    request.pipe(asked);
  },
);
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.on('SIGTERM', () => process.exit(0));
