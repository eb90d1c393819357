import Type from 'typebox';

/** A value that stands in a file of its own. */
export const FileReferenceSchema = Type.Object(
  { file: Type.String({ minLength: 1, description: 'Relative to the configuration file.' }) },
  { additionalProperties: false, title: '{file: PATH}' },
);

/** A secret: `${NAME}` from the environment, or a file's content without its last line end. */
export const SecretSchema = Type.Union([Type.String({ minLength: 1, title: 'a string' }), FileReferenceSchema]);
