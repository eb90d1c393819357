// An agent that shall find out why a shop does not start. ConfigMaps and Pods it reads as it likes; for the Secret it asks, and
// waits for as long as people take. Whatever they say, it goes on.
//
//   GATEWAY=https://localhost:18443 TOKEN=… NODE_EXTRA_CA_CERTS=… node agent.mjs
import { request } from 'node:https';

const { GATEWAY, TOKEN } = process.env;
const shop = '/kubernetes/cluster/api/v1/namespaces/shop';

/** fetch() would give up after five minutes without an answer, and people may take longer. */
function ask(method, path, { prompt, body } = {}) {
  const headers = {
    authorization: `Bearer ${TOKEN}`,
    ...(prompt && { 'x-sallyport-prompt': prompt }),
    ...(body && { 'content-type': 'application/json' }),
  };
  return new Promise((resolve, reject) => {
    const asking = request(`${GATEWAY}${path}`, { method, headers, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece) => (text += piece));
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode, value: JSON.parse(text) }));
    });
    asking.on('error', reject);
    asking.end(body && JSON.stringify(body));
  });
}

/** What it was told to do, for those who shall say yes or no to what comes of it. */
const told = { text: 'The shop has not started since this morning. Find out why, and change nothing.' };
const prompt = (await ask('POST', '/v1/prompts', { body: told })).value.id;

async function read(path) {
  const { status, value } = await ask('GET', `${shop}${path}`, { prompt });
  if (status !== 200) throw new Error(`${path}: ${status} ${value.message}`);
  return value;
}

const settings = async () => {
  for (const { metadata, data } of (await read('/configmaps')).items)
    console.log(`configmap ${metadata.name}: ${JSON.stringify(data)}`);
};
await settings();
for (const { metadata, status } of (await read('/pods')).items) console.log(`pod ${metadata.name}: ${status.message}`);

console.log('asks for the secret db, and waits');
const { status, value } = await ask('GET', `${shop}/secrets/db`, { prompt });
if (status === 200) {
  for (const [name, data] of Object.entries(value.data))
    console.log(`secret db, ${name}: ${Buffer.from(data, 'base64').toString()}`);
} else if (value.kind === 'Status') {
  console.log(`${value.reason}: ${value.message}`);
  for (const { reason, field, message } of value.details.causes) console.log(`  ${field ?? reason}: ${message}`);
} else throw new Error(`the gateway answered ${status}`);

console.log('goes on with what it may read');
await settings();
