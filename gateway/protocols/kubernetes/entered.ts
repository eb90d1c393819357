import type { Action, Resource } from '#engine';
import { understandArgv, type ArgvEffect, type Programs } from '../../shell/index.js';
import { withValues, type Address } from './address.js';
import type { KubernetesRequest } from './codec.js';
import type { KubernetesOperation } from './schema.js';

/** What would happen inside of a container, or through a connection to a pod. */
export interface Entered {
  readonly action: Action;
  readonly resources: readonly Resource[];
  readonly opaque: boolean;
  readonly own: Partial<KubernetesOperation>;
  /** Of exec: the words as they are sent; what stands for no other command in any shell. */
  readonly argv?: readonly string[];
}

/** Undefined for all but exec, attach and port-forward. `programs`: what is known of them; absent: what is built in. */
export function entered(request: KubernetesRequest, programs?: Programs): Entered | undefined {
  const { info, running } = request;
  if (!info.isResource) return undefined;
  if (running === undefined) return info.subresource === 'portforward' ? forwarded(request) : undefined;
  const { argv, stdin, terminal } = running;
  const effect = info.subresource === 'attach' ? attached : understandArgv(argv, { terminal, folder: '.', programs });
  // Without input and terminal a shell has nothing to do.
  const shell = effect.shell && (stdin || terminal);
  const { action, resources, because } = effect;
  const where: Resource = { type: 'shell', name: `${info.namespace}/${info.name}`, access: 'execute' };
  const opaque = because.length > 0;
  return {
    action,
    resources: [...resources, ...(shell ? [where] : [])],
    opaque,
    own: {
      command: [...argv],
      commands: [...effect.commands],
      ...{ shell, stdin, terminal },
      ...(opaque ? { because: [...because] } : {}),
    },
    argv: effect.sent,
  };
}

const attached: ArgvEffect = {
  action: 'execute',
  resources: [],
  commands: [],
  because: ['what runs in the container already, and what it does with what is typed, is not known'],
  shell: true,
  sent: [],
};

/** A tunnel names no port: of each connection in it there is a request of its own, which does. */
function forwarded({ info, ports = [] }: KubernetesRequest): Entered {
  const place = info.isResource ? `${info.namespace}/${info.name}` : '';
  return {
    action: 'transfer',
    resources: [...new Set(ports)].map((port) => ({ type: 'port', name: `${place}:${port}`, access: 'use' })),
    opaque: true,
    own: {
      ...(ports.length === 0 ? {} : { ports: [...ports] }),
      because: ['what goes through a port-forward is not looked at'],
    },
  };
}

/** What is asked for, as it leaves: a line of which all is known as every shell reads it. */
export function sentAddress(request: KubernetesRequest, programs?: Programs): Address {
  const { address, running } = request;
  const argv = entered(request, programs)?.argv;
  const same = running === undefined || argv === undefined || argv.every((word, at) => word === running.argv[at]);
  return same ? address : withValues(address, 'command', argv);
}
