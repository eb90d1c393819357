/** The decision point: an input document in, a decision out. No I/O, no protocol, no clock of its own. */
export * from './input.js';
export * from './decision.js';
export { engineCapabilities, suppliedBuiltins } from './builtins.js';
export { approved, deny, noLooser } from './combine.js';
export { noUsage } from './manifest.js';
export { maskWeight, setNames } from './shapes.js';
export * from './masks.js';
export { createEngine, engineDefaults, layered } from './engine.js';
export type { EngineOptions } from './engine.js';
export { PolicyLoadError } from './errors.js';
export type { Engine, Layer, LayerManifest, Revision, RevisionData, RuleDescription } from './revision.js';
