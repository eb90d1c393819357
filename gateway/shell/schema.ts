import Type from 'typebox';

const closed = { additionalProperties: false } as const;

/** One simple command, as the input document has it. */
export const CommandSchema = Type.Object(
  {
    program: Type.String({ description: 'The name of the program; empty for redirections alone.' }),
    argv: Type.Array(Type.String(), { description: 'With the program in front, quotes and escapes resolved.' }),
    action: Type.String({ description: 'What this command alone does, in the words of operation.action.' }),
    opaque: Type.Boolean({ description: 'True: what it does is not known.' }),
    redirections: Type.Array(
      Type.Object({ path: Type.String(), access: Type.Unsafe<'read' | 'write'>({ enum: ['read', 'write'] }) }, closed),
    ),
  },
  closed,
);
export type CommandPart = Type.Static<typeof CommandSchema>;
