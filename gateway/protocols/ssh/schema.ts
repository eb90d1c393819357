import Type from 'typebox';
import { CommandSchema } from '../../shell/index.js';

/** `operation.ssh` of the input document. */

const closed = { additionalProperties: false } as const;

export const requests = ['connect', 'exec', 'shell', 'subsystem', 'sftp', 'forward', 'ssh_agent'] as const;
export type SshRequest = (typeof requests)[number];

export const forwardings = ['local', 'remote', 'local_socket', 'remote_socket'] as const;
export type Forwarding = (typeof forwardings)[number];

export const SshOperationSchema = Type.Object(
  {
    request: Type.Unsafe<SshRequest>({
      type: 'string',
      enum: [...requests],
      description:
        "What the client asks for: each command, each file over SFTP, each forwarding, and the client's ssh-agent (ssh -A) is one operation.",
    }),
    user: Type.String({ description: "The gateway's own login on the host." }),
    host: Type.String({ description: 'HOST:PORT of the target.' }),
    terminal: Type.Optional(Type.Boolean({ description: 'True: with a terminal (ssh -t).' })),
    environment: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Variables that go along: how programs talk, no others.',
      }),
    ),
    supervised: Type.Optional(
      Type.Literal(true, {
        description:
          'Of shell. True: each line that is typed is judged as exec is. Absent: what is typed goes to the host unjudged.',
      }),
    ),
    entered: Type.Optional(
      Type.Literal('shell', { description: 'Of exec: a line of a supervised shell. Absent: a command by itself.' }),
    ),
    folder: Type.Optional(
      Type.String({
        description: 'Of a line of a supervised shell: where it runs, without links; "~" for the login\'s own folder.',
      }),
    ),
    umask: Type.Optional(Type.String({ description: 'Of a line of a supervised shell that has set one: "027".' })),
    command: Type.Optional(Type.String({ description: 'The command line, as the client sent it.' })),
    commands: Type.Optional(
      Type.Array(CommandSchema, { description: 'The simple commands in it, those in substitutions included.' }),
    ),
    because: Type.Optional(Type.Array(Type.String(), { description: 'Why the operation is opaque, in words.' })),
    subsystem: Type.Optional(Type.String()),
    sftp: Type.Optional(
      Type.Object(
        {
          operation: Type.String({
            description: 'open, opendir, stat, setstat, remove, mkdir, rmdir, rename, readlink, symlink, hardlink, …',
          }),
          path: Type.String({ description: 'Absolute, without "." and "..".' }),
          to: Type.Optional(Type.String({ description: 'Of rename, symlink, hardlink: the second path.' })),
          flags: Type.Optional(
            Type.Array(Type.String(), { description: 'Of open: read, write, append, create, truncate, exclusive.' }),
          ),
          resolved: Type.Optional(
            Type.Boolean({ description: 'True: the path is where a symbolic link leads that was asked for.' }),
          ),
        },
        closed,
      ),
    ),
    forward: Type.Optional(
      Type.Object(
        {
          kind: Type.Unsafe<Forwarding>({ type: 'string', enum: [...forwardings] }),
          host: Type.Optional(Type.String({ description: 'Where it leads, or where it listens.' })),
          port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65535 })),
          socket: Type.Optional(Type.String({ description: "A Unix socket's path on the host." })),
        },
        closed,
      ),
    ),
  },
  { ...closed, description: 'What only SSH knows.' },
);
export type SshOperation = Type.Static<typeof SshOperationSchema>;
