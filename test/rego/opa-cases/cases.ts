import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { pinnedVersion } from '../../../bundles/opa.js';

/**
 * OPA's own conformance cases for Rego v1, taken at test time from the Go module that carries them: none is copied here.
 *
 * @see https://github.com/open-policy-agent/opa/tree/main/v1/test/cases
 */

const run = promisify(execFile);

export interface OpaCase {
  readonly category: string;
  readonly note: string;
  readonly query: string;
  readonly modules: readonly string[];
  readonly data: Readonly<Record<string, unknown>>;
  readonly input: unknown;
  /** The input as Rego, where JSON cannot say it. */
  readonly inputTerm: string | undefined;
  readonly wantResult: readonly Readonly<Record<string, unknown>>[] | undefined;
  readonly wantError: boolean;
  /** The error is one of a mode in which built-ins that fail end the evaluation: neither the gateway nor `opa eval` has it on. */
  readonly strictError: boolean;
  readonly env: boolean;
}

interface Written {
  readonly note: string;
  readonly query: string;
  readonly modules?: readonly string[] | null;
  readonly data?: Record<string, unknown> | null;
  readonly input?: unknown;
  readonly input_term?: string;
  readonly want_result?: readonly Record<string, unknown>[] | null;
  readonly want_error?: string;
  readonly want_error_code?: string;
  readonly strict_error?: boolean;
  readonly env?: Record<string, string>;
}

/** The folder of the module's cases; fetched once, and verified by Go against its public log. */
export async function fetchCases(version = pinnedVersion): Promise<string> {
  const module = `github.com/open-policy-agent/opa@v${version}`;
  const { stdout } = await run('go', ['mod', 'download', '-json', module], { maxBuffer: 1 << 24 });
  const { Dir } = JSON.parse(stdout) as { Dir?: string };
  if (Dir === undefined) throw new Error(`go mod download ${module} gave no folder: ${stdout}`);
  return path.join(Dir, 'v1', 'test', 'cases', 'testdata', 'v1');
}

/** All cases, in the order of their folders, files and places in them. */
export async function readCases(folder: string): Promise<OpaCase[]> {
  const cases: OpaCase[] = [];
  for (const category of (await readdir(folder)).sort()) {
    for (const file of (await readdir(path.join(folder, category))).sort()) {
      if (!/\.ya?ml$/.test(file)) continue;
      const text = await readFile(path.join(folder, category, file), 'utf8');
      // OPA reads YAML by way of JSON: a number is a number, a date is a text, the later of two equal keys holds.
      const { cases: written } = parse(text, { schema: 'core', uniqueKeys: false }) as { cases: readonly Written[] };
      cases.push(...written.map((one) => caseOf(category, one)));
    }
  }
  return cases;
}

function caseOf(category: string, written: Written): OpaCase {
  return {
    category,
    note: written.note,
    query: written.query,
    modules: written.modules ?? [],
    data: written.data ?? {},
    input: written.input,
    inputTerm: written.input_term,
    wantResult: written.want_result ?? undefined,
    wantError: written.want_error !== undefined || written.want_error_code !== undefined,
    strictError: written.strict_error === true,
    env: written.env !== undefined,
  };
}
