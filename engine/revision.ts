import type { Decision } from './decision.js';
import type { Input } from './input.js';

/** One rule, as the build found it. */
export interface RuleDescription {
  readonly code: string;
  /** "policy.postgres" */
  readonly package: string;
  /** allow | deny | mask | filter | approval | limit */
  readonly set: string;
  readonly title?: string;
  readonly file: string;
  readonly line: number;
  /** The name of its layer, where a revision has several: "base". Absent: the site's own. */
  readonly layer?: string;
}

/** What the build writes beside the wasm, and the engine reads back. */
export interface LayerManifest {
  readonly name: string;
  readonly format: 1;
  readonly rules: readonly RuleDescription[];
  /**
   * For each protocol, the paths of the input that its decision can depend on, data references resolved ("principal.roles",
   * "operation.resources"). A path stands for everything below it; the empty string for the whole document.
   */
  readonly reads: Readonly<Record<string, readonly string[]>>;
  /** The packages under policy.* that the layer has: "postgres", "all". */
  readonly packages: readonly string[];
  /** Built-ins that the wasm asks of its host. */
  readonly builtins: readonly string[];
}

/** One compiled policy: a revision is an ordered list of them, and its outcome is the strictest of theirs. */
export interface Layer {
  readonly manifest: LayerManifest;
  /** As `opa build -t wasm` made it, without data. */
  readonly wasm: Uint8Array;
  readonly data: unknown;
}

/** A part of the data of a revision, which is the same object with each question. */
export interface RevisionData {
  /** One of each layer, in their order; undefined where it has none. Frozen. */
  readonly documents: readonly unknown[];
  /** Equal where the documents are; "none" where there are none, as with no policy. */
  readonly digest: string;
}

/** Policy that is ready to judge. Immutable: an operation keeps the one it began with. */
export interface Revision {
  /** "git:<commit>", "directory:<digest>" */
  readonly id: string;
  readonly rules: readonly RuleDescription[];
  /** Whether a decision for this protocol may depend on the path (see LayerManifest.reads). */
  reads(protocol: string, path: string): boolean;
  /** The columns of a target that carry a label, but for labels whose mask is "none" (`data.classification`, `data.masks`). */
  classified(target: string): ReadonlySet<string>;
  /** What its layers have in their data under one name. */
  data(name: string): RevisionData;
  /** Never throws: whatever goes wrong is a deny with an engine code. */
  decide(input: Input): Decision;
}

export interface Engine {
  /** The revision in force; undefined before the first activation. */
  readonly current: Revision | undefined;
  /** Compiles, warms and checks the layers; throws with a readable message where they cannot be used. */
  prepare(id: string, layers: readonly Layer[]): Promise<Revision>;
  /** Puts a revision into force at once: the next operation is judged by it. */
  activate(revision: Revision): void;
  /** Judged by the revision in force; a deny with `no_policy` where there is none. */
  decide(input: Input): Decision;
}
