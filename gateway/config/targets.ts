import type { TSchema } from 'typebox';
import Value from 'typebox/value';
import { isReference, type Reference } from '../elsewhere.js';
import { GatewayError } from '../errors.js';
import type { Protocol } from '../protocol.js';
import type { ConfiguredTarget, UpstreamForm, UpstreamReference } from './config.js';
import { printPath, type KeyPath } from './document.js';
import type { Reading } from './load.js';
import { guard, guardUpstream } from './printable.js';
import { absolute, pathKey, readValue, type Substituted } from './references.js';
import type { TargetFileInput } from './schema.js';

/** The targets of the protocols that are built. What one target lacks makes that target unavailable, and no other. */
export async function readTargets(
  input: readonly TargetFileInput[],
  protocols: readonly Protocol[],
  references: Substituted,
  reading: Reading,
): Promise<ConfiguredTarget[]> {
  const targets: ConfiguredTarget[] = [];
  const names = new Set<string>();
  for (const [index, target] of input.entries()) {
    if (names.has(target.name)) {
      reading.problems.push(reading.document.problem(['targets', index, 'name'], 'another target has the same name'));
    }
    names.add(target.name);
    const protocol = protocols.find(({ name }) => name === target.protocol);
    if (protocol === undefined) continue;

    const form = formOf(target.upstream, protocol, ['targets', index, 'upstream'], reading);
    const { upstream, unavailable } = await readUpstream(form, missingFrom(references, index));
    if (unavailable !== undefined) {
      reading.warnings.push(`target ${target.name} cannot be used: ${unavailable}`);
    }
    targets.push({
      input: Object.freeze({
        name: target.name,
        protocol: target.protocol,
        labels: Object.freeze({ ...target.labels }),
      }),
      upstream: guardUpstream(upstream),
      ...(unavailable !== undefined && { unavailable }),
      ...(form.references.length > 0 && missingFrom(references, index) === undefined && { form }),
    });
  }
  return targets;
}

/** Why a target's own variables cannot be had; undefined where it has them all. */
function missingFrom({ missing }: Substituted, index: number): string | undefined {
  const first = missing.find(({ path }) => path[0] === 'targets' && path[1] === index);
  if (first === undefined) return undefined;
  return `the environment variable ${first.name} (${printPath(first.path.slice(2))}) is not set, or empty`;
}

/** What the file says of an upstream, kept as it is: what it refers to may come to something else later. */
function formOf(
  input: object,
  protocol: Protocol,
  root: KeyPath,
  { file, directory, document }: Reading,
): UpstreamForm {
  const references: UpstreamReference[] = [];
  const find = (value: unknown, path: KeyPath): void => {
    // The upstream itself is none: that of a program has a "command", too.
    if (path.length > root.length && isReference(value)) {
      const { line, column } = document.problem(path, '');
      const where = `${file}:${line}:${column}: ${printPath(path)}`;
      references.push({ key: pathKey(path.slice(root.length)), path, where, to: kindOf(value, directory) });
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value)) find(item, [...path, Array.isArray(value) ? Number(key) : key]);
    }
  };
  find(input, root);
  const read = (values: ReadonlyMap<string, string>) => decode(put(input, values, []), protocol);
  return guard({ references, read }, () => ({ references: references.map(({ where }) => where) }));
}

function kindOf(reference: Reference, directory: string): UpstreamReference['to'] {
  if ('file' in reference) return { kind: 'file', file: absolute(directory, reference.file) };
  if ('vault' in reference) return { kind: 'vault', ...reference.vault };
  const [program = '', ...rest] = reference.command;
  // As a shell has it: a name alone is looked for on PATH.
  const found = program.includes('/') ? absolute(directory, program) : program;
  return { kind: 'command', ...reference, command: [found, ...rest], directory };
}

/** `value` with what its references came to in their place. */
function put(value: unknown, values: ReadonlyMap<string, string>, path: KeyPath): unknown {
  const found = values.get(pathKey(path));
  if (found !== undefined) return found;
  if (Array.isArray(value)) return value.map((item, index) => put(item, values, [...path, index]));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, put(item, values, [...path, key])]));
}

function decode(value: unknown, { upstreamSchema }: Protocol): unknown {
  const schema = upstreamSchema as TSchema;
  if (!Value.HasCodec(schema)) return value;
  try {
    return Value.Decode(schema, value);
  } catch (error) {
    const cause = error instanceof GatewayError ? error : (error as Error).cause;
    throw cause instanceof GatewayError ? cause : error;
  }
}

/** What it comes to now, as far as files alone are concerned: what else it refers to is asked for by a running gateway. */
async function readUpstream(
  form: UpstreamForm,
  missing: string | undefined,
): Promise<{ upstream?: unknown; unavailable?: string | undefined }> {
  if (missing !== undefined) return { unavailable: missing };
  const values = new Map<string, string>();
  try {
    for (const { key, to } of form.references) if (to.kind === 'file') values.set(key, await readValue(to.file));
  } catch (error) {
    return { unavailable: (error as Error).message };
  }
  if (values.size < form.references.length) return {};
  try {
    return { upstream: form.read(values) };
  } catch (error) {
    if (error instanceof GatewayError) return { unavailable: error.message };
    throw error;
  }
}
