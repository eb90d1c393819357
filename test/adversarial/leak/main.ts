import { randomBytes } from 'node:crypto';
import { readCorpus } from './corpus.js';
import { startEmbeddedPostgres, throwawaySettings } from '../../../gateway/state/embedded.js';
import { Runner, lines } from './run.js';
import { makeWorld } from './world.js';

const server = await startEmbeddedPostgres({ password: randomBytes(8).toString('hex'), settings: { ...throwawaySettings, max_connections: 100, autovacuum: 'off' } });
const t0 = Date.now();
const world = await makeWorld({ host: server.host, port: server.port, user: server.user, password: server.password });
console.log('world', Date.now() - t0);
try {
  const direct = process.argv.includes('--direct');
  const fam = process.argv[process.argv.indexOf('--family') + 1];
  const sides = direct ? [world.direct(world.a), world.direct(world.b)] : [await world.gateway(world.a, 'superuser'), await world.gateway(world.b, 'superuser')];
  const runner = new Runner({ a: { filled: world.a, subject: sides[0]! }, b: { filled: world.b, subject: sides[1]! }, canaries: { a: world.a.data.canaries, b: world.b.data.canaries }, said: [world.words['guess'] ?? '', world.words['hashed'] ?? ''] });
  const verdicts = [];
  for (const given of readCorpus(world.words)) {
    if (process.argv.includes('--family') && !given.family.includes(fam!)) continue;
    const t = Date.now();
    const v = await runner.run(given);
    verdicts.push(v);
    const slow = Date.now() - t > 1500 ? `SLOW ${Date.now() - t}` : '';
    const bad = direct ? (given.kind === 'read' && !given.silent ? v.outcome !== 'leaked' : given.kind === 'write' && !given.silent ? v.outcome !== 'leaked' && v.outcome !== 'executed' : v.outcome === 'leaked') : v.outcome === 'leaked' || v.outcome === 'executed' || (v.outcome === 'refused' && given.expect === 'masked') || v.outcome === 'error';
    if (bad || slow) console.log(`${v.outcome} | ${given.silent ? 'SILENT ' : ''}${given.family} | ${given.name} | ${v.why} ${slow}`);
  }
  console.table(lines(verdicts).map((l) => ({ family: l.family, cases: l.cases, ...l.counts })));
  console.log('took', Date.now() - t0);
  runner.close();
  for (const s of sides) await s.close();
} finally { await world.close(); await server.stop(); }
