import { parse } from 'yaml';
import { readReference } from './references.js';
import { PeopleSchema } from './webhooks-schema.js';
import { validator } from './validate.js';

export type People = Readonly<Record<string, Person>>;

export interface Person {
  readonly subject: string;
  readonly groups: readonly string[];
}

const check = validator(PeopleSchema);

/** A file with people in it. Rejects with an Error that says which file, and what is wrong with it. */
export async function readPeople(file: string): Promise<People> {
  const text = await readReference(file);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 0, uniqueKeys: true, stringKeys: true });
  } catch (error) {
    throw new Error(`the file ${file} is not YAML`, { cause: error });
  }
  const [wrong] = check(value);
  if (wrong !== undefined) {
    throw new Error(
      `the file ${file} has to be NAME: {subject: …, groups: […]}: ${wrong.instancePath} ${wrong.message ?? ''}`,
    );
  }
  return value as People;
}
