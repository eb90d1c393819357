export {
  stronger,
  understandArgv,
  understandLine,
  type ArgvEffect,
  type CommandEffect,
  type LineEffect,
  type Setting,
} from './command.js';
export { CommandSchema, type CommandPart } from './schema.js';
export { harmlessValue, harmlessVariable } from './structure.js';
