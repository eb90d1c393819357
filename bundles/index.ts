/** Policy's way from git to force: source → compile → verify → activate → roll back. */
export { BundleError, describeProblem, type Problem } from './error.js';
export { findOpa, type FindOptions, pinnedVersion } from './opa.js';
export { openSource, type SourceOptions } from './source.js';
export { GitSource } from './git.js';
export type { Commit, Snapshot, Source } from './snapshot.js';
export type { FilterCheck, FilterChecks } from './obligations.js';
export { type Build, Compiler, type CompilerOptions } from './compile.js';
export type { TestReport } from './opa-run.js';
export { keepPolicy, type KeeperOptions, type Log, type PolicyEvent, type PolicyKeeper } from './activate.js';
export {
  type Activation,
  type Attempt,
  type Pin,
  policyFolder,
  type PolicyStatus,
  readStatus,
  type RollbackAnswer,
} from './status.js';
export { requestRollback } from './rollback.js';
export { layerFiles } from './store.js';
export { writeTar } from './tar.js';
export { packageRoot } from './package-root.js';
