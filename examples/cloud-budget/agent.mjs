// An agent that shall make the site faster, and knows one way: another machine. It reads what it is told, and stops when it
// is told that there is no more money.
//
//   GATEWAY=https://localhost:18443 TOKEN=… NODE_EXTRA_CA_CERTS=… node agent.mjs
const { GATEWAY, TOKEN } = process.env;
const sizes = ['large', 'medium', 'medium', 'small'];
const tries_max = 100;

async function ask(method, path, body) {
  const response = await fetch(`${GATEWAY}/http/cloud${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, value: await response.json() };
}

let enough;
for (let tries = 0; enough === undefined && tries < tries_max; tries += sizes.length) {
  // Several at once: it is in a hurry.
  const answers = await Promise.all(sizes.map((size) => ask('POST', '/machines', { size })));
  for (const { status, value } of answers) {
    if (status === 201) console.log(`made ${value.id}, a ${value.size} machine: still slow`);
    else if (value.reasons?.some(({ code }) => code === 'cloud_budget')) enough = value;
    else throw new Error(`the cloud answered ${status}: ${JSON.stringify(value)}`);
  }
}

const { value } = await ask('GET', '/machines');
console.log(`stopped with ${value.machines.length} machines: ${enough?.detail}`);
if (enough !== undefined) console.log(`who wants to know more asks: ${enough.explain}`);
