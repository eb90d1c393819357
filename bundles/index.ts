/** Policy's way from git to force: source → compile → verify → activate → roll back. */
export { BundleError, describeProblem, type Problem } from './error.js';
export { findOpa, type FindOptions, pinnedVersion } from './opa.js';
export { type Answered, type Want, unmet } from './cases.js';
export { formattedModule } from './module.js';
export { openSource, type GitSourceOptions, type SourceOptions } from './source.js';
export { bundleAlgorithms, type BundleSigner } from './opa-signatures.js';
export { type Archive, bundleFiles, packBundle, readBundle, signedFiles } from './opa-archive.js';
export { ociUrlPattern } from './oci.js';
export { GitSource } from './git.js';
export type { Commit, Snapshot, Source } from './snapshot.js';
export { type Catalog, readCatalog } from './catalog.js';
export type { FilterCheck, FilterChecks } from './obligations.js';
export type { DataChecks } from './verify-data.js';
export { type Build, Compiler, type CompilerOptions } from './compile.js';
export type { TestReport } from './opa-run.js';
export type { SourceContact } from './contact.js';
export { keepPolicy, type KeeperOptions, type PolicyKeeper } from './activate.js';
export type { Log, PolicyEvent } from './events.js';
export { Turns } from './turns.js';
export {
  type Activation,
  type Attempt,
  baseFolder,
  type Pin,
  policyFolder,
  type PolicyStatus,
  readStatus,
  type OrderAnswer,
  shadowFolder,
} from './status.js';
export { type Order, requestOrder, revisionMeant } from './orders.js';
export { DirectorySource } from './directory.js';
export { BundleStore, writeAtomically } from './store.js';
export { writeTar } from './tar.js';
export { packageRoot } from './package-root.js';
