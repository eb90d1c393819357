// A cloud with an API for machines, in memory: PORT=25080 node cloud.mjs. It believes whoever has a token.
import { createServer } from 'node:http';

const machines = new Map();
let number = 0;

const server = createServer(async (request, response) => {
  const answer = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  const [, id] = /^\/machines(?:\/(.+))?$/.exec(request.url) ?? [];
  if (!request.headers.authorization) return answer(401, { message: 'who are you?' });
  if (request.method === 'GET' && id === undefined) return answer(200, { machines: [...machines.values()] });
  if (request.method === 'GET' && machines.has(id)) return answer(200, machines.get(id));
  if (request.method === 'DELETE' && machines.delete(id)) return answer(200, {});
  if (request.method !== 'POST' || id !== undefined) return answer(404, { message: 'there is no such machine' });
  let text = '';
  for await (const part of request) text += part;
  const machine = { id: `m-${++number}`, size: JSON.parse(text).size, state: 'running' };
  machines.set(machine.id, machine);
  answer(201, machine);
});

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  console.log(`the cloud listens on port ${server.address().port}`);
});
