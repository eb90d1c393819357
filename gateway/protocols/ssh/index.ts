import type { Protocol } from '../../protocol.js';
import { SshUpstreamSchema, type SshUpstream } from './config.js';
import { makeKey } from './library.js';
import { listen } from './listener.js';
import { connectOperation } from './operation.js';
import { SshOperationSchema } from './schema.js';

export type { SshUpstream } from './config.js';

export const ssh: Protocol = {
  name: 'ssh',
  upstreamSchema: SshUpstreamSchema,
  operationSchema: SshOperationSchema,
  actions: ['connect', 'session', 'read', 'write', 'delete', 'execute', 'transfer', 'administer'],
  firstSteps(upstream) {
    const { user, host, port } = upstream as SshUpstream;
    return [connectOperation({ user, host: `${host}:${port}` })];
  },
  async listen(address, services) {
    const hostKey = address.hostKey ?? (await services.keep('ssh_host_ed25519_key', () => makeKey().private));
    const authority =
      address.hostAuthority ?? (await services.keep('ssh_host_ca_ed25519_key', () => makeKey().private));
    return listen({ address, services, hostKey, authority });
  },
};
