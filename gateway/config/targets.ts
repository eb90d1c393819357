import type { TSchema } from 'typebox';
import Value from 'typebox/value';
import { GatewayError } from '../errors.js';
import type { Protocol, Target } from '../protocol.js';
import { printPath } from './document.js';
import type { Reading } from './load.js';
import { guardUpstream } from './printable.js';
import { resolveFiles, type Substituted } from './references.js';
import type { TargetFileInput } from './schema.js';

/** The targets of the protocols that are built. What one target lacks makes that target unavailable, and no other. */
export async function readTargets(
  input: readonly TargetFileInput[],
  protocols: readonly Protocol[],
  references: Substituted,
  reading: Reading,
): Promise<Target[]> {
  const targets: Target[] = [];
  const names = new Set<string>();
  for (const [index, target] of input.entries()) {
    if (names.has(target.name)) {
      reading.problems.push(reading.document.problem(['targets', index, 'name'], 'another target has the same name'));
    }
    names.add(target.name);
    const protocol = protocols.find(({ name }) => name === target.protocol);
    if (protocol === undefined) continue;

    const { upstream, unavailable } = await readUpstream(
      target.upstream,
      protocol,
      missingFrom(references, index),
      reading,
    );
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

async function readUpstream(
  input: object,
  { upstreamSchema }: Protocol,
  missing: string | undefined,
  { directory }: Reading,
): Promise<{ upstream: unknown; unavailable: string | undefined }> {
  if (missing !== undefined) return { upstream: undefined, unavailable: missing };
  const { value, unavailable } = await resolveFiles(input, directory);
  if (unavailable !== undefined) return { upstream: undefined, unavailable };
  const schema = upstreamSchema as TSchema;
  if (!Value.HasCodec(schema)) return { upstream: value, unavailable };
  try {
    return { upstream: Value.Decode(schema, value), unavailable };
  } catch (error) {
    const cause = error instanceof GatewayError ? error : (error as Error).cause;
    if (cause instanceof GatewayError) return { upstream: undefined, unavailable: cause.message };
    throw error;
  }
}
