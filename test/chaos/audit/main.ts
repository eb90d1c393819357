/**
 * The audit under all that can happen to it: a million records by processes that are killed 200 times, with full disks and sinks
 * that are down.
 *
 *     npm run chaos:audit [-- --seed N] [--records N] [--kills N] [--state FILE]
 *
 * Goes on where it was interrupted, as FILE has it (chaos-audit.json in the folder for temporary files). Exit code 1: something
 * took effect without its record, verification was wrong, or missed something.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runHouse, type HouseReport } from './house.js';
import { randomOf } from './random.js';
import { tamperings } from './tampering.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    records: { type: 'string', default: '1000000' },
    kills: { type: 'string', default: '200' },
    state: { type: 'string', default: path.join(tmpdir(), 'chaos-audit.json') },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);
const houses = 20;
const [records, kills] = [Number(values.records), Number(values.kills)];

interface Progress {
  readonly seed: number;
  readonly records: number;
  readonly kills: number;
  readonly reports: HouseReport[];
}

const fresh: Progress = {
  seed: Number(values.seed ?? Math.floor(Math.random() * 2 ** 31)),
  records,
  kills,
  reports: [],
};
const kept = existsSync(values.state) ? (JSON.parse(readFileSync(values.state, 'utf8')) as Progress) : fresh;
const resumes =
  kept.records === records && kept.kills === kills && (values.seed === undefined || kept.seed === Number(values.seed));
const progress = resumes ? kept : fresh;
const { seed, reports } = progress;
say(`seed ${seed}${reports.length > 0 ? `, going on after ${reports.length} of ${houses} logs` : ''}`);

const folder = mkdtempSync(path.join(tmpdir(), 'sallyport-chaos-'));
const perLog = Math.ceil(tamperings.length / 4);
try {
  for (let house = reports.length; house < houses; house += 1) {
    const random = randomOf(seed + house);
    const report = await runHouse({
      folder: path.join(folder, 'house'),
      kills: Math.floor((kills * (house + 1)) / houses) - Math.floor((kills * house) / houses),
      records: records / houses,
      random,
      tamperings: { first: house * perLog, count: perLog },
    });
    reports.push(report);
    writeFileSync(values.state, JSON.stringify(progress));
    say(
      `log ${house + 1} of ${houses}: ${report.records} records, ${report.effects} took effect, ${report.kills} killed, disk full ${report.full}${report.realDisk ? '' : ' (simulated)'}, sink down ${report.down}; ${report.tried.length} tamperings; verified ${report.verified_per_s}/s`,
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

const sum = (of: (report: HouseReport) => number) => reports.reduce((total, report) => total + of(report), 0);
say(
  `\n${sum((one) => one.records)} records, ${sum((one) => one.effects)} operations took effect; killed ${sum((one) => one.kills)} times, disk full ${sum((one) => one.full)}, sink down ${sum((one) => one.down)}; ${sum((one) => one.tried.length)} tamperings of ${new Set(reports.flatMap((one) => one.tried)).size} kinds`,
);
const wrong = reports.flatMap(({ unrecorded, alarms, missed }) => [
  ...unrecorded.map((id) => `took effect without a record: ${id}`),
  ...alarms.map((alarm) => `false alarm: ${alarm}`),
  ...missed.map((one) => `not found: ${one}`),
]);
for (const line of wrong.slice(0, 100)) say(line);
say(wrong.length === 0 ? 'all as it must be' : `${wrong.length} things are wrong (seed ${seed})`);
rmSync(values.state, { force: true });
process.exitCode = wrong.length === 0 ? 0 : 1;
