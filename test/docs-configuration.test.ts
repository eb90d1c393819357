import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { Ajv } from 'ajv';
import { parse } from 'yaml';
import { configSchema } from '../gateway/config/index.js';
import { protocols } from '../gateway/registry.js';

/** The configurations in the documentation are in the form that the gateway accepts. */

const root = join(import.meta.dirname, '..');
const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(configSchema(protocols));

const blocks = (page: string): unknown[] =>
  [...readFileSync(join(root, page), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => parse(text));

test('the configuration of the README is one', () => {
  const [configuration] = blocks('README.md');
  expect(configuration).toHaveProperty('targets');
  validate(configuration);
  expect(validate.errors).toBeNull();
});

test('the target of the Postgres page fits into one', () => {
  const [readme] = blocks('README.md') as [object];
  const [target] = blocks('docs/protocols/postgres.md') as [object];
  validate({ ...readme, ...target });
  expect(validate.errors).toBeNull();
});

test('a key that does not exist is noticed', () => {
  const [configuration] = blocks('README.md') as [object];
  expect(validate({ ...configuration, policies: {} })).toBe(false);
});
