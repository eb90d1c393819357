import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isMap, LineCounter, parseDocument, type Node } from 'yaml';
import { readerOf } from './forms.js';
import type { Reader } from './reading.js';
import { faultsOf, type Row } from './rows.js';

/** What is known of programs: read once from programs.yaml, which ships beside this file's source. */

export interface Program {
  readonly row: Row;
  readonly reader: Reader;
}

export type Programs = ReadonlyMap<string, Program>;

/** A table of programs that is none. The message has a line for each fault: `file:line: program.field message`. */
export class ProgramsError extends Error {
  override readonly name = 'ProgramsError';
}

/** Reads a table. @throws {ProgramsError} with everything that is wrong in it. */
export function readPrograms(source: string, file: string): Programs {
  const lines = new LineCounter();
  const document = parseDocument(source, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    stringKeys: true,
  });
  const faults: string[] = [];
  const fault = (offset: number, message: string) =>
    faults.push(`${file}:${lines.linePos(offset).line || 1}: ${message}`);
  for (const { pos, message } of [...document.errors, ...document.warnings]) fault(pos[0], message);
  const programs = new Map<string, Program>();
  const root = document.contents;
  const rows = isMap(root) ? root.get('programs', true) : undefined;
  if (faults.length === 0 && (!isMap(root) || root.items.length !== 1 || !isMap(rows)))
    fault(0, 'it must have programs, which maps names to what they do, and nothing else');
  for (const { key, value } of faults.length === 0 && isMap<Node, Node | null>(rows) ? rows.items : []) {
    const name = String(key);
    const row: unknown = value?.toJS(document) ?? null;
    const found = faultsOf(name, row);
    for (const { path: field, message } of found)
      fault(offsetOf(value, field) ?? key.range?.[0] ?? 0, `${[name, ...field].join('.')} ${message}`);
    if (found.length === 0) programs.set(name, { row: row as Row, reader: readerOf(name, row as Row) });
  }
  if (faults.length > 0) throw new ProgramsError(faults.join('\n'));
  return programs;
}

/** Where the field of a row stands. */
function offsetOf(row: unknown, [field]: readonly string[]): number | undefined {
  const pair = isMap<Node>(row) && field !== undefined ? row.items.find(({ key }) => String(key) === field) : undefined;
  return pair?.key.range?.[0];
}

/** This file runs as it stands (tests), and compiled beneath `dist/`, where data does not go. */
function shipped(): string {
  const beside = path.join(import.meta.dirname, 'programs.yaml');
  return existsSync(beside) ? beside : path.join(import.meta.dirname, '../../../gateway/shell/programs.yaml');
}

/** The programs that everybody knows. */
export const builtIn: Programs = readPrograms(readFileSync(shipped(), 'utf8'), 'gateway/shell/programs.yaml');
