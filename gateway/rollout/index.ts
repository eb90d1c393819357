/** A revision that is tried beside the one in force: without effect on all that is asked, or enforced for a few. */
export { Canary } from './canary.js';
export type { ShadowReport } from './differences.js';
export { openRollout, type Rollout, type RolloutOptions } from './rollout.js';
export { differencesFile, readDifferences } from './file.js';
