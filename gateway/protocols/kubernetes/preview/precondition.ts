import { editJson, JsonError, type JsonPath } from '../../../content/index.js';
import type { ObjectBody } from '../codec.js';

/**
 * The same write, for the one version of the object that was looked at: of any other the API server answers with a conflict, and
 * changes nothing. Every other byte stays as it was. Undefined where there is no place for it.
 *
 * A JSON patch gets an operation behind all of its own, so that none of them undoes it. It is no `test`, which would be told as a
 * request that is wrong (422): a version that is set is compared as that of any other form.
 *
 * @see https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#concurrency-control-and-consistency
 */
export function pinned(body: ObjectBody, version: string): ObjectBody | undefined {
  const text = body.bytes.toString('utf8').trim();
  try {
    const edited = body.patch === 'json' ? pinnedList(text, version) : pinnedObject(text, version);
    return edited === undefined ? undefined : { ...body, bytes: Buffer.from(edited) };
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

const whole: ReadonlySet<number> = new Set([0]);
const metadata: JsonPath = [{ member: 'metadata' }];
const resourceVersion: JsonPath = [{ member: 'resourceVersion' }];

function pinnedList(text: string, version: string): string | undefined {
  if (!text.startsWith('[')) return undefined;
  const operation = JSON.stringify({ op: 'add', path: '/metadata/resourceVersion', value: version });
  const own = text.slice(1, -1).trim();
  return `[${own === '' ? '' : `${own},`}${operation}]`;
}

function pinnedObject(text: string, version: string): string | undefined {
  if (!text.startsWith('{')) return undefined;
  const value = JSON.stringify(version);
  let unfit = false;
  const inside = (raw: string) => {
    if (raw.startsWith('{')) return withMember(raw, resourceVersion, 'resourceVersion', () => value);
    unfit = true;
    return raw;
  };
  const edited = withMember(text, metadata, 'metadata', (raw) => inside(raw ?? '{}'));
  return unfit ? undefined : edited;
}

/** The object with a member in another form, or with one that it has not. */
function withMember(text: string, path: JsonPath, name: string, value: (raw?: string) => string): string {
  let found = false;
  const edited = editJson(
    text,
    [path],
    (raw) => {
      found = true;
      return value(raw);
    },
    whole,
  );
  if (found) return edited;
  const own = text.slice(1).trimStart();
  return `{${JSON.stringify(name)}:${value()}${own.startsWith('}') ? '' : ','}${own}`;
}
