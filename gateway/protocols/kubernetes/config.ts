import Type from 'typebox';
import { SecretSchema } from '../../elsewhere.js';
import { ConfigError } from '../../errors.js';
import { readKubeconfig } from './kubeconfig.js';
import type { Place } from './operation.js';

/** A target's `upstream`: the API server, and as whom the gateway asks there. */
export interface KubernetesUpstream extends Place {
  readonly protocol: 'http:' | 'https:';
  readonly hostname: string;
  readonly port: number;
  /** Before every path, without a slash at its end. */
  readonly base: string;
  readonly ca?: string;
  readonly serverName?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly token?: string;
}

const closed = { additionalProperties: false } as const;

const FormSchema = Type.Object(
  {
    kubeconfig: Type.Union([...SecretSchema.anyOf], {
      description: 'Whole, with nothing in other files: kubectl config view --raw --flatten --minify.',
    }),
    context: Type.Optional(Type.String({ minLength: 1, description: 'Absent: its current context.' })),
    impersonate: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "True: the API server is asked in the principal's name and groups (the gateway's own user needs the right to impersonate); false: in the gateway's own.",
      }),
    ),
  },
  closed,
);

interface Form {
  readonly kubeconfig: string;
  readonly context?: string;
  readonly impersonate?: boolean;
}

export function readUpstream({ kubeconfig, context, impersonate = false }: Form): KubernetesUpstream {
  const { server, ...rest } = readKubeconfig(kubeconfig, context);
  const secure = server.protocol === 'https:';
  const port = server.port === '' ? (secure ? 443 : 80) : Number(server.port);
  return {
    protocol: secure ? 'https:' : 'http:',
    hostname: server.hostname.replace(/^\[(.*)\]$/u, '$1'),
    port,
    base: server.pathname.replace(/\/+$/u, ''),
    host: `${server.hostname}:${port}`,
    impersonate,
    ...rest,
  };
}

/** The schema of `upstream`, which also reads it: decoding gives a KubernetesUpstream. */
export const KubernetesUpstreamSchema = Type.Codec(FormSchema)
  .Decode((form) => readUpstream(form as Form))
  .Encode(() => {
    throw new ConfigError('an upstream is never written back');
  });
