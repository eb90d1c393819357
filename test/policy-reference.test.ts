import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { inputSchema, maskFunctions } from '#engine';
import { protocols } from '../gateway/registry.js';

/** docs/policy.md is a reference: it has a row for each field of the input document, and for nothing else. */

const page = readFileSync(join(import.meta.dirname, '../docs/policy.md'), 'utf8');

interface Schema {
  type?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
}

/** "operation.resources[].name": every field that the schema knows, objects and their fields alike. */
function paths(schema: Schema, prefix = ''): string[] {
  if (schema.items !== undefined) return paths(schema.items, `${prefix}[]`);
  return Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => {
    const path = prefix === '' ? name : `${prefix}.${name}`;
    const below = paths(inner, path);
    return below.length === 0 ? [path] : below;
  });
}

const operations = Object.fromEntries(protocols.map(({ name, operationSchema }) => [name, operationSchema]));
const reference = page.slice(page.indexOf('## The input document'), page.indexOf('## The decision'));
const documented = [...reference.matchAll(/^\| `([a-z_]+[a-zA-Z0-9_.[\]]*)` \|/gm)].map(([, path]) => path ?? '');

test('every field of the input document is in the policy reference, and nothing else', () => {
  const known = paths(inputSchema(operations) as Schema);
  expect(known.length).toBeGreaterThan(40);
  expect([...documented].sort()).toEqual([...known].sort());
});

test('every mask function is in the policy reference, strictest first', () => {
  expect(page).toContain(maskFunctions.map((name) => `\`${name}\``).join(', '));
});
