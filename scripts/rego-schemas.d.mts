import type { TSchema } from 'typebox';

/**
 * The text of every file in `rego/schemas/`, by file name: `input.json` for all protocols, and one a protocol for policy
 * that is judged for that protocol alone.
 */
export function schemaFiles(sources: {
  inputSchema: (protocols: Record<string, TSchema>) => TSchema;
  protocols: Record<string, TSchema>;
  /** Of each protocol. */
  actions: Record<string, readonly string[]>;
}): Record<string, string>;
