/** What a change of policy would have done to what was recorded. */
export { replay, type ReplayOptions } from './replay.js';
export { smallestCases, type Wanted } from './cases.js';
export { asJson, asMarkdown, asText, type Companion, type Report } from './report.js';
export { publishable, publishedLimits, type PublishedReport } from './published.js';
export { publishedSchema } from './published-schema.js';
export { ReplayShelf } from './shelf.js';
export { isLoosened, type Tally } from './tally.js';
export { type Labels, unrecorded } from './recorded.js';
