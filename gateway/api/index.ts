/** The HTTPS listener and the JSON API: how people and programs reach the gateway itself. */
export { listenHttps, type App, type HttpGate } from './server.js';
export { certificateFile, ownCertificate, type OwnCertificate } from './certificate.js';
export { apiGate, type ApiDoor } from './api.js';
export type { ApiParts } from './parts.js';
export { discoveryGate } from './discovery.js';
export { exchangeGate } from './exchange.js';
export { samlGate } from './saml.js';
export { hookGate } from './hooks.js';
export { healthGate, type Health } from './health.js';
export { addressOf, Problem, problemOf } from './problem.js';
export { Rates } from './rates.js';
export { recordAct } from './record.js';
export { rolesOf, type Caller, type RoleGroups } from './caller.js';
export { policyHookGate } from './policy-hook.js';
