/** What differs between two forms of an object, as people read it: each field that does, with what stood and what would stand there. */
export interface Change {
  /** `spec.replicas`, `metadata.labels["a.b/c"]`, `spec.containers[name="web"].image`, `spec.args[0]`. */
  readonly path: string;
  /** Absent: nothing stood there. */
  readonly before?: unknown;
  /** Absent: nothing would. */
  readonly after?: unknown;
}

/** In the order in which the fields stand, those that are new last. Where a whole part is on one side alone, it is one change. */
export function changesBetween(before: unknown, after: unknown): Change[] {
  const changes: Change[] = [];
  compare(before, after, '', changes);
  return changes;
}

function compare(before: unknown, after: unknown, path: string, changes: Change[]): void {
  const [left, right] = [membersOf(before, after), membersOf(after, before)];
  if (left === undefined || right === undefined) {
    if (!isSame(before, after))
      changes.push({ path, ...(before === undefined ? {} : { before }), ...(after === undefined ? {} : { after }) });
    return;
  }
  for (const key of new Set([...left.keys(), ...right.keys()]))
    compare(left.get(key), right.get(key), path + (path === '' && key.startsWith('.') ? key.slice(1) : key), changes);
}

const isSame = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other);

/** Its parts by how a path names them; undefined where it is not to be taken apart beside the other. */
function membersOf(value: unknown, beside: unknown): ReadonlyMap<string, unknown> | undefined {
  if (Array.isArray(value)) {
    if (!Array.isArray(beside)) return undefined;
    const named = namesOf(value) && namesOf(beside);
    return new Map(
      value.map((each, index) => [named ? `[name=${quoted(nameOf(each))}]` : `[${index}]`, each as unknown]),
    );
  }
  if (!isObject(value) || !isObject(beside)) return undefined;
  return new Map(Object.entries(value).map(([key, each]) => [plain.test(key) ? `.${key}` : `[${quoted(key)}]`, each]));
}

const plain = /^[A-Za-z_$][\w$-]*$/;
const quoted = (text: string) => JSON.stringify(text);
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const nameOf = (value: unknown) => (value as { name: string }).name;

/** Containers, variables, volumes: lists in which each has a name of its own, which stays while places change. */
function namesOf(list: readonly unknown[]): boolean {
  const names = list.map((each) => (isObject(each) ? each['name'] : undefined));
  return names.every((name) => typeof name === 'string') && new Set(names).size === names.length;
}

/** The value that a change's path leads to. */
export function valueAt(object: unknown, path: string): unknown {
  let value = object;
  for (const [, key, name, index, member] of path.matchAll(steps)) {
    if (name !== undefined)
      value = Array.isArray(value)
        ? value.find((each) => isObject(each) && each['name'] === JSON.parse(name))
        : undefined;
    else if (index !== undefined) value = Array.isArray(value) ? (value[Number(index)] as unknown) : undefined;
    else {
      const own = key === undefined ? member! : (JSON.parse(key) as string);
      value = isObject(value) && Object.hasOwn(value, own) ? value[own] : undefined;
    }
  }
  return value;
}

const steps = /\[("(?:[^"\\]|\\.)*")\]|\[name=("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|\.?([A-Za-z_$][\w$-]*)/g;
