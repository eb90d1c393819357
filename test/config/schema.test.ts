import { expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { publishedSchema } from '../../gateway/config/index.js';
import { protocols } from '../../gateway/registry.js';

const published = await readFile(new URL('../../docs/sallyport.schema.json', import.meta.url), 'utf8');

test('the published schema is the one that the loader uses; if not, run `npm run schemas`', () => {
  expect(published).toBe(publishedSchema(protocols));
});

test('the published schema takes the full example, and not one with a misspelt key', async () => {
  const check = new Ajv({ strict: false }).compile(JSON.parse(published) as object);
  const example = parse(await readFile(new URL('full.yaml', import.meta.url), 'utf8')) as object;
  expect(check(example)).toBe(true);
  expect(check({ ...example, target: [] })).toBe(false);
});

test('every part of the file is in the reference', async () => {
  const reference = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const keys = new Set<string>();
  const collect = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return;
    const { properties, if: condition, ...rest } = schema as Record<string, unknown>;
    void condition;
    for (const key of Object.keys((properties as object | undefined) ?? {})) keys.add(key);
    for (const part of [properties, rest]) for (const value of Object.values(part ?? {})) collect(value);
  };
  // What is planned has no reference yet: other listeners, other upstreams.
  const { allOf: _, ...target } = (JSON.parse(published) as Schema).properties.targets.items;
  const { listen: _listen, ...parts } = (JSON.parse(published) as Schema).properties;
  collect({ ...parts, targets: target });
  for (const { upstreamSchema } of protocols) collect(upstreamSchema);
  const missing = [...keys].filter((key) => !reference.includes(`\`${key}\``) && !reference.includes(`${key}:`));
  expect(missing).toEqual([]);
});

interface Schema {
  readonly properties: Record<string, unknown> & {
    readonly targets: { readonly items: { readonly allOf: unknown } };
  };
}
