/** A JSON Schema, as far as those of the input go. */
interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/**
 * A document that has every field of a schema, with one element in each list. Editors that complete Rego (Regal, and with it VS
 * Code, Neovim, Zed, …) go by a file `input.json` above the rules, not by schemas.
 */
export function sampleOf(schema: Schema): unknown {
  const { type, properties = {}, items, anyOf } = schema;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum[0];
  if (anyOf?.[0] !== undefined) return sampleOf(anyOf[0]);
  switch (type) {
    case 'object':
      return Object.fromEntries(Object.entries(properties).map(([name, below]) => [name, sampleOf(below)]));
    case 'array':
      return items === undefined ? [] : [sampleOf(items)];
    case 'boolean':
      return false;
    case 'integer':
    case 'number':
      return 0;
    case 'string':
      return '';
    default:
      return null;
  }
}
