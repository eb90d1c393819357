import { createEngine, layered, type Engine, type Layer, type Revision } from '#engine';

/**
 * Policy of two sources: the organisation's base, and the team's that may tighten it. Each is built, tested and kept by
 * itself (bundles/activate.ts) and comes into force by itself; what judges is always both, the base first. Putting the two
 * together takes no build: a commit of either is in force as fast as one of a single source.
 */
type Judging = Pick<Engine, 'prepare' | 'activate'>;

/** The name that the base's rules carry. */
export const baseLayer = 'base';

/** The organisation's part. Alone it judges nothing: until the team's part is there, nothing is allowed. */
export class Base implements Judging {
  readonly #engine = createEngine();
  readonly #layers = new WeakMap<Revision, readonly Layer[]>();
  readonly #told: (() => void)[] = [];

  get current(): Revision | undefined {
    return this.#engine.current;
  }

  get layers(): readonly Layer[] {
    return this.current === undefined ? [] : (this.#layers.get(this.current) ?? []);
  }

  async prepare(id: string, layers: readonly Layer[]): Promise<Revision> {
    const named = layers.map(namedBase);
    const revision = await this.#engine.prepare(id, named);
    this.#layers.set(revision, named);
    return revision;
  }

  activate(revision: Revision): void {
    this.#engine.activate(revision);
    for (const tell of this.#told) tell();
  }

  /** Calls back after each change. */
  subscribe(changed: () => void): void {
    this.#told.push(changed);
  }
}

/** What stands upon the base: what it brings comes into force in `engine` together with the base, and never without it. */
export class Upper implements Judging {
  readonly #engine: Engine;
  readonly #base: Base | undefined;
  readonly #layers = new WeakMap<Revision, readonly Layer[]>();
  #own: Revision | undefined;

  /** @param base Absent: there is none, and what this brings judges alone. */
  constructor(engine: Engine, base?: Base) {
    this.#engine = engine;
    this.#base = base;
    base?.subscribe(() => this.#together());
  }

  get current(): Revision | undefined {
    return this.#engine.current;
  }

  /** Those of what judges now, the base's first: for a thread that makes the same revision again. */
  get layers(): readonly Layer[] {
    const own = this.#own === undefined ? [] : (this.#layers.get(this.#own) ?? []);
    return [...(this.#base?.layers ?? []), ...own];
  }

  async prepare(id: string, layers: readonly Layer[]): Promise<Revision> {
    const revision = await this.#engine.prepare(id, layers);
    this.#layers.set(revision, layers);
    return revision;
  }

  activate(revision: Revision): void {
    this.#own = revision;
    this.#together();
  }

  #together(): void {
    if (this.#own === undefined) return;
    if (this.#base === undefined) return this.#engine.activate(this.#own);
    if (this.#base.current !== undefined) this.#engine.activate(layered([this.#base.current, this.#own]));
  }
}

/** Of a layer that was compiled as any other: from now on its rules say whose they are. */
export function namedBase({ manifest, ...rest }: Layer): Layer {
  const rules = manifest.rules.map((rule) => ({ ...rule, layer: baseLayer }));
  return { ...rest, manifest: { ...manifest, name: baseLayer, rules } };
}
