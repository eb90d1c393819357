/** Questions to a policy: one operation, decided without anybody asking for it, and what would have to differ. */
export { whatWouldDiffer, type Difference, type Search } from './differing.js';
export { readStatement } from './statement.js';
export { readRequest } from './request.js';
export { valuesNamed } from './values.js';
