import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, type Problem } from './error.js';
import type { Commit } from './snapshot.js';
import { writeAtomically } from './store.js';

/**
 * How the policy stands: kept in memory, and in `<directory>/status.json`, so that the command line can tell it without
 * a connection to the gateway.
 */
export interface PolicyStatus {
  readonly format: 1;
  readonly source: string;
  /** Of the process that keeps the policy. */
  readonly pid: number;
  /** In force; absent before the first activation. */
  readonly revision?: string;
  readonly since?: string;
  readonly commit?: Commit;
  /** True where the revision came from the disk, because its source could not be built. */
  readonly restored: boolean;
  /** When the source last said what it has; written once a minute at most. */
  readonly answered?: string;
  /** What was ordered, and until when it holds. */
  readonly pinned?: Pin | undefined;
  readonly last?: Attempt;
  readonly answer?: OrderAnswer;
  /** Newest first. */
  readonly history: readonly Activation[];
}

export interface Attempt {
  readonly revision?: string;
  readonly at: string;
  readonly ok: boolean;
  readonly error?: string;
  readonly problems?: readonly Problem[];
  /** Reading, building, testing and activating. */
  readonly duration_ms: number;
  /** From the commit's own time to in force: only where the commit was made while the policy was being watched. */
  readonly commit_to_force_ms?: number;
  readonly tests?: { readonly passed: number; readonly failed: number; readonly skipped: number };
}

export interface Activation {
  readonly revision: string;
  readonly at: string;
  readonly how: 'built' | 'restored' | OrderedHow;
  readonly commit?: Commit;
}

/** How a revision came into force that the source did not bring. */
export type OrderedHow = 'rolled_back' | 'promoted' | 'pinned';

export interface Pin {
  readonly revision: string;
  /** What the source had when it was ordered. A rollback and a promotion hold until it has something else. */
  readonly blocked: string;
  readonly at: string;
  /** pinned: it holds, whatever the source has, until it is taken back. */
  readonly how: OrderedHow;
}

export interface OrderAnswer {
  /** Of the order that this answers. */
  readonly id: string;
  readonly ok: boolean;
  readonly revision?: string;
  readonly error?: string;
}

export const history_max = 50;

/** The folder in which the gateway keeps its policy, below its state directory. */
export const policyFolder = (stateDirectory: string): string => path.join(stateDirectory, 'policy');

/** The same for the revision that is tried beside it. */
export const shadowFolder = (stateDirectory: string): string => path.join(policyFolder(stateDirectory), 'shadow');

/** The same for the organisation's base. */
export const baseFolder = (stateDirectory: string): string => path.join(policyFolder(stateDirectory), 'base');

const statusFile = (directory: string): string => path.join(directory, 'status.json');
export const orderFile = (directory: string): string => path.join(directory, 'order.request.json');
export const pinFile = (directory: string): string => path.join(directory, 'pin.json');

export const writeStatus = (directory: string, status: PolicyStatus): Promise<void> =>
  writeAtomically(statusFile(directory), `${JSON.stringify(status, undefined, 2)}\n`);

/** What a gateway wrote last into its folder; undefined where none ever did. */
export async function readStatus(directory: string): Promise<PolicyStatus | undefined> {
  return readJson<PolicyStatus>(statusFile(directory));
}

/** Undefined where the file is not there. Throws where it is not JSON. */
export async function readJson<T>(file: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as T;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
