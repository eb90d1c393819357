import type { PolicyStatus, Problem, SourceContact } from '../../bundles/index.js';

/**
 * How the policy stands, as OPA says it: the same keys with the same types, so that what receives the status of OPAs takes that
 * of gateways as well. Layers are bundles, by name: "policy", and "base" beneath it. What is not told: `discovery`, `size`,
 * `http_code` and all metrics.
 *
 * @see https://www.openpolicyagent.org/docs/latest/management-status/
 */
export interface StatusDocument {
  /** "id" is the gateway's, "version" the product's. */
  readonly labels: Readonly<Record<string, string>>;
  readonly bundles: Readonly<Record<string, BundleStatus>>;
  readonly plugins: Readonly<Record<string, { readonly state: PluginState }>>;
}

export type PluginState = 'OK' | 'NOT_READY' | 'ERROR';

export interface BundleStatus {
  readonly name: string;
  /** Absent: none is in force. */
  readonly active_revision?: string;
  readonly type: 'snapshot';
  /** All times are RFC 3339 with nanoseconds; what never was is the first instant of the year 1, as Go has it. */
  readonly last_successful_activation: string;
  readonly last_successful_download: string;
  readonly last_successful_request: string;
  readonly last_request: string;
  /** With `message` where the last attempt failed; what was in force before it still is. */
  readonly code?: 'bundle_error';
  readonly message?: string;
  readonly errors?: readonly BundleProblem[];
}

interface BundleProblem {
  readonly code: string;
  readonly message: string;
  readonly location?: { readonly file: string; readonly row: number; readonly col: number };
}

/** Of one layer. */
export interface Standing {
  status(): PolicyStatus;
  contact(): SourceContact;
}

const errors_max = 50;
const message_chars_max = 2_000;
const never = '0001-01-01T00:00:00Z';

/** @param sending How the sending itself stands; undefined where nobody is told. */
export function statusDocument(
  labels: StatusDocument['labels'],
  layers: ReadonlyMap<string, Standing>,
  sending: PluginState | undefined,
): StatusDocument {
  const bundles = [...layers].map(([name, layer]) => bundleStatus(name, layer));
  const ready = bundles.length > 0 && bundles.every((bundle) => bundle.active_revision !== undefined);
  return {
    labels,
    bundles: Object.fromEntries(bundles.map((bundle) => [bundle.name, bundle])),
    plugins: {
      bundle: { state: ready ? 'OK' : 'NOT_READY' },
      ...(sending === undefined ? {} : { status: { state: sending } }),
    },
  };
}

function bundleStatus(name: string, layer: Standing): BundleStatus {
  const { revision, since, last } = layer.status();
  const { asked_ms, answered_ms, read_ms } = layer.contact();
  return {
    name,
    ...(revision === undefined ? {} : { active_revision: revision }),
    type: 'snapshot',
    last_successful_activation: since === undefined ? never : instant(Date.parse(since)),
    last_successful_download: instant(read_ms),
    last_successful_request: instant(answered_ms),
    last_request: instant(asked_ms),
    ...(last?.ok === false ? failure(last.error ?? '', last.problems ?? []) : {}),
  };
}

function failure(message: string, problems: readonly Problem[]): Pick<BundleStatus, 'code' | 'message' | 'errors'> {
  return {
    code: 'bundle_error',
    message: cut(message),
    errors: problems.slice(0, errors_max).map(({ code, message: text, file, line }) => ({
      code,
      message: cut(text),
      // Of a problem its line is known.
      ...(file === undefined ? {} : { location: { file, row: line ?? 1, col: 1 } }),
    })),
  };
}

const instant = (time_ms: number | undefined): string =>
  time_ms === undefined ? never : new Date(time_ms).toISOString().replace('Z', '000000Z');

const cut = (text: string): string =>
  text.length <= message_chars_max ? text : `${text.slice(0, message_chars_max)}…`;
