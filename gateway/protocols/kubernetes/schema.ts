import Type from 'typebox';
import { CommandSchema } from '../../shell/index.js';

/** `operation.kubernetes` of the input document. */

const closed = { additionalProperties: false } as const;

const ResultSchema = Type.Object(
  {
    known: Type.Boolean({ description: 'False: it could not be found out, and `why` says why not.' }),
    why: Type.Optional(Type.String({ description: 'In words; it quotes no value.' })),
    exists: Type.Optional(
      Type.Boolean({ description: 'True: the object is there already; false: it would be made. Absent: not known.' }),
    ),
    object: Type.Optional(
      Type.Unknown({
        description:
          'The whole object as it would be, with defaults and admission, without managedFields. Fields that are masked for who asks stand as they are masked, the values of a Secret as "withheld".',
      }),
    ),
    changes: Type.Optional(
      Type.Array(
        Type.Object(
          {
            path: Type.String({ description: 'spec.replicas, spec.template.spec.containers[name="web"].image' }),
            before: Type.Optional(Type.String({ description: 'As text, cut. Absent: nothing stands there.' })),
            after: Type.Optional(Type.String({ description: 'As text, cut. Absent: nothing would stand there.' })),
          },
          closed,
        ),
        {
          description:
            'What differs from the object as it is, or, where it would be made, from what was sent; the first 100.',
        },
      ),
    ),
    changes_left_out: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  {
    ...closed,
    description:
      'What a write would become, as a dry run of it says. Absent: policy asks for it with no `preview`, or it is not known yet.',
  },
);
export type WriteResult = Type.Static<typeof ResultSchema>;

export const KubernetesOperationSchema = Type.Object(
  {
    verb: Type.String({
      description:
        'get, list, watch, create, update, patch, delete, deletecollection, as the API server authorises it; of a path that is no resource, the HTTP method in small letters.',
    }),
    path: Type.Optional(Type.String({ description: 'Of what is no resource: /version, /openapi/v3, …' })),
    group: Type.Optional(Type.String({ description: 'Empty: the core group.' })),
    version: Type.Optional(Type.String()),
    namespace: Type.Optional(Type.String({ description: 'Empty: none, or all of them.' })),
    resource: Type.Optional(Type.String({ description: 'pods, deployments, …: never the kind.' })),
    subresource: Type.Optional(Type.String({ description: 'exec, log, scale, status, …; empty: the object itself.' })),
    name: Type.Optional(
      Type.String({ description: 'Empty: none is named. Of a list, the one name that its field selector asks for.' }),
    ),
    field_selector: Type.Optional(Type.String()),
    label_selector: Type.Optional(Type.String()),
    dry_run: Type.Boolean({ description: 'True: the API server is asked to change nothing.' }),
    field_manager: Type.Optional(Type.String()),
    object: Type.Optional(
      Type.Unknown({
        description:
          'What is written, as it was sent; of a patch, the patch. Absent: there is no body, or it is not understood. The values of a Secret stand as "withheld".',
      }),
    ),
    patch_type: Type.Optional(
      Type.Unsafe<PatchType>({
        type: 'string',
        enum: ['json', 'merge', 'strategic', 'apply'],
        description: 'How the object of a patch is to be understood.',
      }),
    ),
    result: Type.Optional(ResultSchema),
    command: Type.Optional(
      Type.Array(Type.String(), { description: 'Of exec: the words of what runs in the container. Of attach: empty.' }),
    ),
    commands: Type.Optional(
      Type.Array(CommandSchema, {
        description: 'Of exec: the simple commands in it; of `sh -c LINE` those of the line.',
      }),
    ),
    shell: Type.Optional(
      Type.Boolean({
        description: 'Of exec and attach. True: a shell or another program gets what it does while it runs.',
      }),
    ),
    stdin: Type.Optional(Type.Boolean({ description: 'Of exec and attach. True: the client sends input.' })),
    terminal: Type.Optional(
      Type.Boolean({ description: 'Of exec and attach. True: with a terminal (kubectl exec -t).' }),
    ),
    because: Type.Optional(Type.Array(Type.String(), { description: 'Why the operation is opaque, in words.' })),
    ports: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }), {
        description:
          'Of a port-forward: the ports of the pod. Absent: the tunnel itself, through which nothing goes before each connection in it was judged with its port.',
      }),
    ),
    container: Type.Optional(Type.String()),
    impersonated: Type.Boolean({
      description: "True: the API server decides by the principal's own name and groups; false: by the gateway's.",
    }),
  },
  { ...closed, description: 'What only Kubernetes knows.' },
);
export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';
export type KubernetesOperation = Type.Static<typeof KubernetesOperationSchema>;
