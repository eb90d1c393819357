/** Proposes labels for a target's columns: what `sallyport classify` does. */
export { Refused, type GatewayAddress } from './connect.js';
export { labelsOf, noLabels, type Labels } from './labels.js';
export { propose, type ClassifyOptions, type Proposal } from './propose.js';
export { asJson, asYaml, isProposal } from './write.js';
