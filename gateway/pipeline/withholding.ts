import { hash as digest, createHmac, randomBytes } from 'node:crypto';
import type { Decision, Input, Resource, Revision } from '#engine';
import type { Withheld } from '../protocol.js';

/**
 * What is masked for clients stands in clear in no record either: neither as a literal of a statement nor as a parameter.
 * Here is decided of which operations values are withheld, and made what stands in their place. Which literals those are, the
 * protocol knows.
 */

const salt_bytes = 16;

export class Withholding {
  readonly #key: string;
  /** Of operations with the same resources, masks and revision. */
  readonly #known = new WeakMap<readonly Resource[], Known>();

  /** @param key Kept by the gateway, at least 32 characters: without it nobody can find out a value by trying. */
  constructor(key: string) {
    this.#key = key;
  }

  /** Undefined where all of the operation may be written down. */
  of({ operation, target }: Input, decision: Decision, revision: Revision | undefined): Withheld | undefined {
    const { resources, opaque } = operation;
    const { masks, masked } = decision;
    const known = this.#known.get(resources);
    if (known?.revision === revision && known?.masks === masks && known.masked === masked && known.opaque === opaque)
      return known.withheld;
    const columns = columnsOf(resources, opaque, decision, revision, target.name);
    const withheld = columns === 'none' ? undefined : { columns, conceal: (value: string) => this.#conceal(value) };
    if (Object.isFrozen(resources)) this.#known.set(resources, { revision, masks, masked, opaque, withheld });
    return withheld;
  }

  /** A hash of what may hold such values: it stands for the same operation each time, and cannot be found by trying. */
  hash(hash: string): string {
    return digest('sha256', this.#key + hash);
  }

  #conceal(value: string): string {
    const salt = randomBytes(salt_bytes).toString('base64url');
    return `withheld:${salt}.${createHmac('sha256', this.#key).update(salt).update(value).digest('base64url')}`;
  }
}

interface Known {
  readonly revision: Revision | undefined;
  readonly masks: Decision['masks'];
  readonly masked: Decision['masked'];
  readonly opaque: boolean;
  readonly withheld: Withheld | undefined;
}

function columnsOf(
  resources: readonly Resource[],
  opaque: boolean,
  decision: Decision,
  revision: Revision | undefined,
  target: string,
): Withheld['columns'] | 'none' {
  // Before the first revision nothing is masked, and nothing is let through.
  if (revision === undefined) return 'none';
  const classified = revision.classified(target);
  if (classified.size === 0 && !revision.rules.some(({ set }) => set === 'mask')) return 'none';
  const masked = decision.outcome === 'deny' ? decision.masked : decision.masks.map(({ resource }) => resource);
  // What is sent to whatever function, or was not judged at all, may hold anything.
  if (masked === undefined || opaque || masked.includes('*')) return undefined;
  // Fields of answers and objects ("body:users[*].email", "secrets:data"): where in a request such a value stands is not known.
  if (masked.some((name) => name.includes(':')) && !resources.some(({ type }) => type === 'column')) return undefined;
  const names = new Set(masked.map(lastOf));
  const columns = new Set<string>();
  for (const { type, name, via } of resources) {
    // Partitions and heirs have their parent's masks under names of their own, but for the last part.
    const isMasked = classified.has(name) || (type === 'column' ? names.has(lastOf(name)) : masked.includes(name));
    if (!isMasked) continue;
    // Under the name that a view gives it, it would not be known.
    if (via !== undefined || type !== 'column') return undefined;
    columns.add(name);
  }
  return columns.size > 0 ? columns : 'none';
}

const lastOf = (name: string) => name.slice(name.lastIndexOf('.') + 1);
