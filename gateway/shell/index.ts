export {
  stronger,
  understandArgv,
  understandLine,
  type ArgvEffect,
  type CommandEffect,
  type LineEffect,
  type Setting,
} from './command.js';
export { programFaults, programsData, programsOf } from './extension.js';
export { CommandSchema, type CommandPart } from './schema.js';
export type { Programs } from './table.js';
export { harmlessValue, harmlessVariable } from './structure.js';
export { continuationOf } from './completeness.js';
export { changesShell, filledIn, lastingOf, type Lasting } from './lasting.js';
export { quoted } from './quoting.js';
