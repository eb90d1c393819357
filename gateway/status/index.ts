/** How the policy stands, as OPA's status API has it: for whoever asks, and sent to a service. */
export { openTelling, type Telling } from './telling.js';
export type { StatusDocument } from './document.js';
export type { Sending } from './sender.js';
