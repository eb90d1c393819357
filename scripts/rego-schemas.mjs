#!/usr/bin/env node
// Writes rego/schemas/*.json from the TypeBox definitions that the TypeScript types come from (`npm run schemas`), so that
// `opa check --schema` and the compiler can't disagree. Reads the compiled sources: build first.
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = new URL('../', import.meta.url);
const draft = 'https://json-schema.org/draft/2020-12/schema';

/** See rego-schemas.d.mts. */
export function schemaFiles({ inputSchema, protocols, actions }) {
  const files = { 'input.json': inputSchema(protocols) };
  for (const [name, own] of Object.entries(protocols))
    files[`${name}.json`] = narrowed(inputSchema({ [name]: own }), name, actions[name]);
  return Object.fromEntries(
    Object.entries(files).map(([name, schema]) => [
      name,
      `${JSON.stringify({ $schema: draft, ...schema }, null, 2)}\n`,
    ]),
  );
}

/** The document as policy for one protocol sees it: the protocol is known, its object is there, and what it does is one of a few. */
function narrowed(schema, name, actions) {
  const { operation, target } = schema.properties;
  return {
    ...schema,
    title: `${schema.title}, ${name}`,
    properties: {
      ...schema.properties,
      target: {
        ...target,
        properties: { ...target.properties, protocol: { ...target.properties.protocol, enum: [name] } },
      },
      operation: {
        ...operation,
        properties: { ...operation.properties, action: { ...operation.properties.action, enum: actions } },
        required: [...operation.required, name],
      },
    },
  };
}

async function main() {
  const { inputSchema } = await import(new URL('dist/engine/input.js', root).href);
  const { protocols } = await import(new URL('dist/gateway/registry.js', root).href);
  const directory = new URL('rego/schemas/', root);
  await mkdir(directory, { recursive: true });
  for (const [name, text] of Object.entries(
    schemaFiles({
      inputSchema,
      protocols: Object.fromEntries(protocols.map(({ name, operationSchema }) => [name, operationSchema])),
      actions: Object.fromEntries(protocols.map(({ name, actions }) => [name, actions])),
    }),
  )) {
    await writeFile(new URL(name, directory), text);
    console.log(`wrote ${fileURLToPath(new URL(name, directory))}`);
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) await main();
