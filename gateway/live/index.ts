/** What is connected, on all replicas, and the two switches that end it: sessions are killed, tokens are revoked. */
export { Kills } from './kills.js';
export { Revocations, type RevocationListener, type RevokeAnswer, type RevokeQuery } from './revocations.js';
export { Revisions, type Enforced } from './revisions.js';
export { Roster } from './roster.js';
export { liveSessions } from './sessions.js';
