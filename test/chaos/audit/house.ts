import { once } from 'node:events';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { unseal } from '../../../gateway/audit/chain.js';
import { fileHeadStore, verifyAudit } from '../../../gateway/audit/index.js';
import { tamperings, writerOf } from './tampering.js';

/**
 * One log that several processes wrote, one after the other, each killed at some point while its disk was full, its sink was
 * down, or all was well. Afterwards: whatever took effect has its record, verification finds nothing, and it finds each thing
 * that is done to the log then.
 */
export interface HouseOptions {
  readonly folder: string;
  readonly kills: number;
  /** About so many records in all. */
  readonly records: number;
  readonly random: () => number;
  /** How many kinds of tampering are tried; from which on, of the list. */
  readonly tamperings: { readonly first: number; readonly count: number };
}

export interface HouseReport {
  readonly records: number;
  readonly effects: number;
  readonly kills: number;
  /** How often the disk was full (of itself, or by the word of the sink), and the sink down. */
  readonly full: number;
  readonly down: number;
  readonly realDisk: boolean;
  /** Operations that took effect without a record. Has to be empty. */
  readonly unrecorded: readonly string[];
  /** What verification found where nobody had changed anything. Has to be empty. */
  readonly alarms: readonly string[];
  /** Tamperings that were not found, or not by their names. Has to be empty. */
  readonly missed: readonly string[];
  readonly tried: readonly string[];
  readonly verified_per_s: number;
}

const writer = fileURLToPath(new URL('writer.mjs', import.meta.url));
const disk_bytes = 128 * 1_048_576;
const patience_ms = 60_000;

export async function runHouse(options: HouseOptions): Promise<HouseReport> {
  const { folder, random } = options;
  rmSync(folder, { recursive: true, force: true });
  const disk = path.join(folder, 'disk');
  mkdirSync(disk, { recursive: true });
  const realDisk = mountDisk(disk);
  try {
    const house = new House(options, disk, realDisk);
    for (let kill = 0; kill < options.kills; kill += 1)
      await house.live((random() * 2 * options.records) / options.kills, true);
    await house.live(0, false);
    return await house.inspect();
  } finally {
    if (realDisk) execFileSync('umount', ['-l', disk]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A disk that can really be full; false where this user may not have one. */
function mountDisk(folder: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${disk_bytes}`, 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

class House {
  readonly #options: HouseOptions;
  readonly #disk: string;
  readonly #realDisk: boolean;
  readonly #log: string;
  readonly #state: string;
  readonly #effects: string;
  readonly #down: string;
  readonly #full: string;
  #kills = 0;
  #fulls = 0;
  #downs = 0;

  constructor(options: HouseOptions, disk: string, realDisk: boolean) {
    const { folder } = options;
    this.#options = options;
    this.#disk = disk;
    this.#realDisk = realDisk;
    this.#log = path.join(disk, 'audit.jsonl');
    this.#state = path.join(folder, 'state');
    this.#effects = path.join(folder, 'effects');
    this.#down = path.join(folder, 'down');
    this.#full = path.join(folder, 'full');
    mkdirSync(this.#state);
    writeFileSync(this.#effects, '');
  }

  /** One process: from its start to its death after so many records, or to its orderly end. */
  async live(records: number, killed: boolean): Promise<void> {
    const { random } = this.#options;
    const args = [writer, this.#log, this.#state, this.#effects, this.#down, this.#full];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    const guard = setTimeout(() => child.kill('SIGKILL'), patience_ms);
    try {
      // Some die before they have said a word.
      if (killed && random() < 0.1) await wait(random() * 200);
      else await this.#work(child.stdout, records, killed);
      child.kill(killed ? 'SIGKILL' : 'SIGTERM');
      const [code] = (await ended) as [number | null];
      if (!killed && code !== 0) throw new Error(`the writer ended with ${String(code)}`);
    } finally {
      clearTimeout(guard);
      child.kill('SIGKILL');
      this.#mend();
    }
    if (killed) this.#kills += 1;
  }

  async #work(output: NodeJS.ReadableStream, records: number, killed: boolean): Promise<void> {
    const { random } = this.#options;
    const trouble = killed ? random() : 1;
    const from = random() * records;
    let troubled = false;
    for await (const line of createInterface({ input: output })) {
      // Two records for each operation.
      const now = line === 'ready' ? 0 : Number(line) * 2;
      if (!troubled && trouble < 0.6 && now >= from) {
        troubled = true;
        if (trouble < 0.3) this.#fill();
        else this.#cut();
        await wait(random() * 150);
        // Some die while the trouble lasts.
        if (random() < 0.3) return;
        this.#mend();
      }
      if (now >= records) break;
    }
    await wait(random() * 5);
  }

  #cut(): void {
    this.#downs += 1;
    writeFileSync(this.#down, '');
  }

  #fill(): void {
    this.#fulls += 1;
    if (!this.#realDisk) {
      writeFileSync(this.#full, '');
      return;
    }
    const { bavail, bsize } = statfsSync(this.#disk);
    try {
      writeFileSync(path.join(this.#disk, 'filler'), Buffer.alloc(bavail * bsize));
    } catch {
      // Its records took the last of it meanwhile.
    }
  }

  #mend(): void {
    for (const file of [this.#down, this.#full, path.join(this.#disk, 'filler')]) rmSync(file, { force: true });
  }

  async inspect(): Promise<HouseReport> {
    const lines = linesOf(readFileSync(this.#log));
    const recorded = new Set(lines.map((line) => intentOf(line)));
    const effects = readFileSync(this.#effects, 'utf8').split('\n').slice(0, -1);
    const started = performance.now();
    const whole = await this.#verify();
    const seconds = (performance.now() - started) / 1_000;
    const { first, count } = this.#options.tamperings;
    const tried: string[] = [];
    const missed: string[] = [];
    for (let index = first; index < first + count; index += 1) {
      const { name, kinds, change } = tamperings[index % tamperings.length]!;
      const changed = [...lines];
      change(changed, this.#place(lines));
      writeFileSync(this.#log, Buffer.concat(changed.flatMap((line) => [line, newline])));
      const found = (await this.#verify()).findings.map(({ kind }) => kind);
      tried.push(name);
      if (!kinds.every((kind) => found.includes(kind))) missed.push(`${name}: found ${found.join(', ') || 'nothing'}`);
    }
    return {
      records: whole.records,
      effects: effects.length,
      kills: this.#kills,
      full: this.#fulls,
      down: this.#downs,
      realDisk: this.#realDisk,
      unrecorded: effects.filter((id) => !recorded.has(id)),
      alarms: whole.findings.map(({ kind, line, message }) => `${kind} in line ${String(line)}: ${message}`),
      missed,
      tried,
      verified_per_s: Math.round(whole.records / seconds),
    };
  }

  async #verify() {
    return verifyAudit([this.#log], { keys: [], ledger: await fileHeadStore(this.#state).read() });
  }

  /** A line whose neighbours, two on each side, are of the same chain. */
  #place(lines: readonly Buffer[]): number {
    for (let attempt = 0; attempt < 10_000; attempt += 1) {
      const at = 2 + Math.floor(this.#options.random() * (lines.length - 4));
      const near = lines.slice(at - 2, at + 3);
      const links = near.map((line) => unseal(line));
      const chained = links.every(
        (link, index) => index === 0 || (link !== undefined && link.previous === links[index - 1]?.hash),
      );
      if (chained && near.every((line) => writerOf(line) === writerOf(near[0]!)) && intentOf(lines[at]!) !== undefined)
        return at;
    }
    throw new Error('the log has no five records in a row');
  }
}

const newline = Buffer.from('\n');

function linesOf(content: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  for (let end = content.indexOf(0x0a); end !== -1; end = content.indexOf(0x0a, start)) {
    lines.push(content.subarray(start, end));
    start = end + 1;
  }
  return lines;
}

const intentForm = /"kind":"intent".*?"decision_id":"([^"]+)"/u;

/** Undefined for anything but a whole record of an intent. */
function intentOf(line: Buffer): string | undefined {
  return unseal(line) === undefined ? undefined : intentForm.exec(line.toString('latin1', 0, 400))?.[1];
}
