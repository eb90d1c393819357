/**
 * A gateway as far as its audit goes: many operations at once, each recorded before it takes effect. It is there to be killed.
 *
 *     node writer.mjs LOG STATE EFFECTS DOWN FULL
 *
 * What took effect is appended to EFFECTS, by number, at the moment it does. While the file DOWN exists the sink takes a part of
 * what it is given and fails; likewise FULL, as a full disk does, where there is no real one. Says "ready", then how many
 * operations have taken effect; SIGTERM closes the log.
 */
import { existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';

// What is killed is the built product.
const built = (name) => import(new URL(`../../../dist/gateway/audit/${name}.js`, import.meta.url).href);
const { fileHeadStore, openAudit, openSigner } = await built('index');
const { openFileSink } = await built('file');

const [log, state, effects, down, full] = process.argv.slice(2);
const loops = 64;
const told_every = 50;
/** What a client does that was refused. */
const pause_ms = 5;

/** The file sink, failing while one of the two files says so. */
const open = async (path) => {
  fail();
  const { file, torn } = await openFileSink(path);
  return {
    torn,
    file: {
      async append(bytes) {
        const failure = failureNow();
        if (failure !== undefined) {
          await file.append(bytes.subarray(0, Math.floor(Math.random() * bytes.length)));
          throw failure;
        }
        await file.append(bytes);
      },
      async datasync() {
        fail();
        await file.datasync();
      },
      close: () => file.close(),
    },
  };
};

function failureNow() {
  if (existsSync(down)) return Object.assign(new Error('the sink is down'), { code: 'ECONNREFUSED' });
  if (existsSync(full)) return Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  return undefined;
}

function fail() {
  const failure = failureNow();
  if (failure !== undefined) throw failure;
}

const audit = await openAudit({
  sinks: [{ file: log }],
  durability: 'disk',
  seal: { signer: await openSigner({ directory: state }), heads: fileHeadStore(state) },
  open,
});
const took = openSync(effects, 'a', 0o600);
let stopping = false;
let done = 0;
const mark = `${process.pid}-${Date.now()}`;
process.on('SIGTERM', () => {
  stopping = true;
});
console.log('ready');

let next = 0;
async function operate() {
  while (!stopping) {
    const id = `d-${mark}-${(next += 1)}`;
    const where = { decision_id: id, session_id: 's', target: 'orders', protocol: 'postgres' };
    try {
      await audit.write(
        {
          kind: 'intent',
          fields: { ...where, action: 'write', result: { outcome: 'allow' } },
          personal: { principal: { subject: 'agent:chaos' }, operation: { statement: `update t set a = ${next}` } },
        },
        { durable: true },
      );
    } catch {
      // Refused: nothing took effect.
      await wait(pause_ms);
      continue;
    }
    writeSync(took, `${id}\n`);
    done += 1;
    if (done % told_every === 0) console.log(done);
    try {
      audit.write({ kind: 'outcome', fields: { ...where, result: { status: 'ok' } } });
    } catch {
      // The buffer is full: the next intent is refused as well.
    }
  }
}
await Promise.all(Array.from({ length: loops }, operate));
await audit.close();
