import { loadConfig, type Config } from '../config/index.js';
import { protocols } from '../registry.js';
import { auditFindings } from './audit.js';
import { certificateFindings } from './certificates.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';
import { identityFindings } from './identity.js';
import { policyFindings } from './policy.js';
import { statusFindings } from './policy-status.js';
import { stateFindings } from './state.js';
import { aroundFindings, targetFindings } from './targets.js';

export type { Finding } from './finding.js';

/** Everything that the gateway needs, looked at without starting it. Nothing is written but a file that is removed at once. */
export async function examine(given: {
  readonly file: string;
  readonly env: NodeJS.ProcessEnv;
  readonly around?: boolean;
}): Promise<Finding[]> {
  let config: Config;
  try {
    config = await loadConfig(given.file, { env: given.env, protocols });
  } catch (error) {
    return [fail('configuration', messageOf(error), 'Mend the file: docs/configuration.md has all of its keys.')];
  }
  if (given.around === true) return aroundFindings(config);
  const parts = [
    certificateFindings(config),
    identityFindings(config),
    stateFindings(config),
    policyFindings(config, given.env),
    statusFindings(config),
    auditFindings(config),
    targetFindings(config),
  ];
  const warnings = config.warnings.map((text) => warn('configuration', text, 'docs/configuration.md says more.'));
  return [ok('configuration', config.file), ...warnings, ...(await Promise.all(parts)).flat()];
}
