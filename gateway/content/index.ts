export {
  editJson,
  findInJson,
  JsonError,
  readJsonPath,
  type JsonPath,
  type JsonValue,
  type WholePaths,
} from './json.js';
export { plainText } from './escapes.js';
export { Lines, type LineEnds } from './lines.js';
export { allKinds, has, kindsOf, noKinds, type Kinds, type PatternKind } from './kinds.js';
export { Screen, screenReset } from './screen.js';
export { ContentStream, maskInPlace, maskText } from './stream.js';
export { TerminalStream, type Showing } from './terminal.js';
export { held_bytes_max, type Looking } from './walker.js';
