import type { Case } from './corpus.js';
import { families, type Report } from './report.js';
import { runAll } from './run.js';
import { compareBoth, readUtility } from './utility.js';
import type { Subject, Upstream, World } from './world.js';

/**
 * The corpus, and over a superuser what is useful, through two gateways over the two databases, made anew before.
 *
 * @param only `simple` leaves the extended protocol out.
 */
export async function attack(world: World, cases: Case[], upstream: Upstream, only?: 'simple'): Promise<Report> {
  const started = Date.now();
  const subjects: Subject[] = [];
  try {
    for (const filled of [world.a, world.b]) {
      await filled.renew();
      subjects.push(await world.gateway(filled, upstream));
    }
    const [a, b] = subjects;
    if (a === undefined || b === undefined) throw new Error('two gateways were started');
    const verdicts = await runAll(
      {
        a: { filled: world.a, subject: a },
        b: { filled: world.b, subject: b },
        canaries: { a: world.a.data.canaries, b: world.b.data.canaries },
        said: [world.words['guess'] ?? '', world.words['hashed'] ?? ''],
        newest: world.newest,
        ...(only === undefined ? {} : { only }),
      },
      cases,
    );
    const useful = [];
    if (upstream === 'superuser') {
      const direct = world.direct(world.a);
      for (const each of readUtility())
        useful.push(await compareBoth(each, direct.open(each.as), a.open(each.as), world));
    }
    return families(upstream, verdicts, useful, Date.now() - started);
  } finally {
    for (const subject of subjects) await subject.close();
  }
}
