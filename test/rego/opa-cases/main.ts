import { judgeAll, table } from './report.js';

/** `npm run conformance [-- PART-OF-A-NOTE]`: OPA's conformance cases by the gateway's engine, as a table. */
const outcomes = await judgeAll(process.argv[2], (text) => void process.stderr.write(`${text}\n`));
for (const { kind, note, detail } of outcomes)
  if (kind !== 'equal') process.stdout.write(`${kind} ${note}: ${detail.slice(0, 400)}\n`);
process.stdout.write(`${table(outcomes)}\n`);
