import type { Protocol } from './protocol.js';
import { postgres } from './protocols/postgres/index.js';

/** Every protocol that ships: one row, one folder, one Rego package. */
export const protocols = [postgres] as const satisfies readonly Protocol[];
