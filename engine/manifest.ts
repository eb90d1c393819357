import { PolicyLoadError } from './errors.js';
import { freeze } from './combine.js';
import type { Counts, Input, Usage } from './input.js';
import type { LayerManifest } from './revision.js';

/** What the engine demands of a manifest before it believes it. */

const isStrings = (value: unknown): boolean =>
  Array.isArray(value) && value.every((element) => typeof element === 'string');

function isRule(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const rule = value as Record<string, unknown>;
  return (
    (['code', 'package', 'set', 'file'] as const).every((key) => typeof rule[key] === 'string') &&
    typeof rule['line'] === 'number'
  );
}

/** @throws {PolicyLoadError} where a field is missing or of another type: the cache relies on `reads`, layers on `packages`. */
export function checkManifest(manifest: LayerManifest): void {
  const { name, format, rules, reads, packages, builtins } = manifest as Partial<Record<keyof LayerManifest, unknown>>;
  const layer = typeof name === 'string' && name !== '' ? name : 'without a name';
  const demand = (holds: boolean, what: string) => {
    if (!holds)
      throw new PolicyLoadError(layer, `its manifest ${what}. Build the policy again with this version of Sallyport.`);
  };
  demand(format === 1, `has the format ${String(format)}, and this engine reads format 1`);
  demand(layer === name, 'has no name');
  demand(isStrings(packages), 'does not say which packages it has');
  demand(isStrings(builtins), 'does not say which built-ins it asks for');
  demand(Array.isArray(rules) && rules.every(isRule), 'does not describe its rules');
  demand(
    typeof reads === 'object' && reads !== null && Object.values(reads).every(isStrings),
    'does not say what each protocol reads of the input',
  );
}

const nothing: Counts = {
  operations: { minute: 0, day: 0 },
  writes: { minute: 0, day: 0 },
  rows: { day: 0 },
  bytes: { day: 0 },
  cost: { day: 0 },
};

/** Of a principal that has done nothing so far; also where no policy reads it. */
export const noUsage: Usage = freeze({ ...nothing, purpose: nothing, target: nothing });

/** An ordinary operation of nobody in particular, for a first evaluation. */
export function warmInput(protocol: string): Input {
  const time = '2000-01-01T00:00:00.000Z';
  return {
    version: 1,
    time,
    principal: {
      subject: 'trial',
      issuer: 'trial',
      kind: 'service',
      groups: [],
      roles: [],
      attributes: {},
      token: { expires: time },
    },
    session: { id: 'trial', started: time, client: { address: '127.0.0.1' }, rows: 0, taint: [] },
    target: { name: 'trial', protocol, labels: {} },
    operation: {
      stage: 'execute',
      action: 'connect',
      resources: [{ type: 'session', name: 'session', access: 'use' }],
      opaque: false,
      hash: '0'.repeat(64),
    },
    usage: noUsage,
  };
}
