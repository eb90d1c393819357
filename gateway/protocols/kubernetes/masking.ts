import { createHmac } from 'node:crypto';
import type { Mask } from '#engine';
import { editJson, findInJson, JsonError, readJsonPath, type JsonPath, type JsonValue } from '../../content/index.js';
import { RequestRefusal } from '../../web/index.js';
import type { KubernetesRequest } from './codec.js';
import { resourceName, streams } from './operation.js';
import type { ResourceRequest } from './request-info.js';
import { fieldTerms } from './selectors.js';

/**
 * Masks of fields: `secrets:data`, `deployments.apps:spec.template.spec.containers[*].env[*].value`,
 * `*:metadata.annotations["example.com/token"]`. A mask holds for its field in whatever form an object comes: alone, in a list,
 * in the events of a watch. Where one holds, the copies that an object carries of itself (what was last applied, who manages
 * which field) are emptied too, and tables, of which the API server fills the cells, are not asked for.
 */
export interface FieldMasks {
  /** Of one JSON document as the API server answers it. Throws JsonError where it is none. */
  mask(text: string): string;
  /** Of a part of a list, as the whole of it would be masked there. Throws JsonError where the part is none. */
  maskPart(text: string, where: 'head' | 'item' | 'tail'): string;
  /** Throws RequestRefusal for a request that would bring masked values out, or write masks over values. */
  check(request: KubernetesRequest): void;
  /** What is masked and how: two with the same names mask alike. */
  readonly names: readonly string[];
}

/** A mask that cannot be put in force: the operation is refused. */
export class MaskRefusal extends Error {}

interface FieldMask {
  readonly path: JsonPath;
  readonly with: 'null' | 'redact' | 'hash';
}

const redacted = '***';
/** Values of a Secret are base64, and clients take nothing else. */
const isBase64 = ({ resource, group }: ResourceRequest, [first]: JsonPath): boolean =>
  resource === 'secrets' && group === '' && typeof first === 'object' && first.member === 'data';

/** Copies of an object's fields in the object itself, and what stands in their place. */
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const copies: readonly (readonly [JsonPath, string])[] = [
  [[{ member: 'metadata' }, { member: 'annotations' }, { member: lastApplied }], '"{}"'],
  [[{ member: 'metadata' }, { member: 'managedFields' }], '[]'],
];
/** An object alone; in a list; in the event of a watch. */
const item: JsonPath = [{ member: 'items' }, 'elements'];
const places: readonly JsonPath[] = [[], item, [{ member: 'object' }]];
const listStart = '{"items":[';
const listEnd = ']}';

const everyCopy = places.flatMap((place) =>
  copies.map(([path, text]) => ({ path: [...place, ...path], replace: () => text })),
);
/** Subresources whose answers are other objects, or none: what is masked in the object is not in them. */
const others = new Set(['log', 'scale', 'token', 'eviction', 'binding']);

/**
 * The masks that hold for a request; undefined where none does.
 *
 * @param key As 64 hexadecimal digits, for `hash`.
 * @throws {MaskRefusal} where one cannot be put in force
 */
export function fieldMasks(masks: readonly Mask[], info: ResourceRequest, key: () => string): FieldMasks | undefined {
  if (masks.length === 0 || streams(info) || others.has(info.subresource)) return undefined;
  const name = resourceName(info);
  const own = masks.map(readMask).filter(({ resource }) => resource === '*' || resource === name);
  return own.length === 0 ? undefined : new Masks(own, info, key);
}

function readMask({ resource: text, with: how, code }: Mask): FieldMask & { readonly resource: string } {
  const colon = text.indexOf(':');
  if (colon < 1) throw new MaskRefusal(`the mask ${code} is on "${text}": write RESOURCE:FIELD, as in secrets:data`);
  if (how !== 'null' && how !== 'redact' && how !== 'hash')
    throw new MaskRefusal(`the mask ${code} is "${how}": fields of objects can be masked with null, redact or hash`);
  try {
    return { resource: text.slice(0, colon), path: readJsonPath(text.slice(colon + 1)), with: how };
  } catch (error) {
    throw new MaskRefusal(`the mask ${code}: ${error instanceof JsonError ? error.message : 'cannot be read'}`);
  }
}

/** What is replaced in one reading of a text. */
interface Pass {
  readonly paths: readonly JsonPath[];
  readonly replace: (raw: string, value: JsonValue) => string;
  /** Of the paths those whose value is replaced as one, object or list as it may be. */
  readonly whole: ReadonlySet<number>;
}

/** The stricter ones later: paths of several masks may lead to one value, and then the strictest has the last word. */
const order: readonly FieldMask['with'][] = ['hash', 'redact', 'null'];

class Masks implements FieldMasks {
  readonly #passes: readonly Pass[];

  constructor(
    private readonly masks: readonly FieldMask[],
    private readonly info: ResourceRequest,
    private readonly key: () => string,
  ) {
    const functions = order.filter((how) => masks.some((mask) => mask.with === how));
    this.#passes = functions.map((how, index) => this.#pass(how, index === 0 ? everyCopy : []));
  }

  get names(): readonly string[] {
    return this.masks.map((mask) => JSON.stringify([mask.path, mask.with])).sort();
  }

  mask(text: string): string {
    return this.#passes.reduce((edited, { paths, replace, whole }) => editJson(edited, paths, replace, whole), text);
  }

  maskPart(text: string, where: 'head' | 'item' | 'tail'): string {
    // What is around it is put there, and has nothing that is masked.
    if (where === 'head') return this.mask(text + listEnd).slice(0, -listEnd.length);
    if (where === 'tail') return this.mask(listStart + text).slice(listStart.length);
    return this.#passes.reduce(
      (edited, { paths, replace, whole }) => editJson(edited, paths, replace, whole, item),
      text,
    );
  }

  /** All fields that one function masks, and what is replaced as one beside them. */
  #pass(how: FieldMask['with'], beside: typeof everyCopy): Pass {
    const own = this.masks.filter((mask) => mask.with === how);
    const everywhere: readonly { readonly path: JsonPath; readonly replace: Pass['replace'] }[] = [
      ...beside,
      ...places.flatMap((place) =>
        own.map((mask) => ({ path: [...place, ...mask.path], replace: this.#replacement(mask) })),
      ),
    ];
    return {
      paths: everywhere.map(({ path }) => path),
      replace: (raw, value) => everywhere[value.path]!.replace(raw, value),
      whole: new Set(beside.keys()),
    };
  }

  check(request: KubernetesRequest): void {
    this.#checkSelectors();
    const { body } = request;
    if (body.bytes.length === 0) return;
    if (body.opaque)
      throw new RequestRefusal(
        403,
        'masks_and_opaque_body',
        'fields of this object are masked for you, and the body cannot be looked into',
      );
    if (body.patch === 'json') checkJsonPatch(body.object);
    else this.#checkWritten(body.bytes.toString('utf8'));
  }

  /** A selector on a masked field answers whether it has a value. */
  #checkSelectors(): void {
    const { fieldSelector, labelSelector } = this.info;
    const fields = this.masks.map(({ path }) => plainStart(path));
    const asked = [
      ...(fieldTerms(fieldSelector) ?? []).map(({ field }) => field),
      ...(labelSelector === '' ? [] : ['metadata.labels']),
    ];
    for (const field of asked) {
      if (fields.some((masked) => overlap(masked, field)))
        throw new RequestRefusal(
          403,
          'masked_field_selected',
          `${field} is masked for you: nothing can be selected by it`,
        );
    }
  }

  /** What the client got masked and sends back would destroy the value that it never saw. */
  #checkWritten(text: string): void {
    const paths = this.masks.map(({ path }) => path);
    for (const { start, end, path } of findInJson(text, paths)) {
      const raw = text.slice(start, end);
      if (raw === 'null' || this.#isMask(raw, this.masks[path]!))
        throw new RequestRefusal(
          422,
          'masked_value_written',
          'the object holds a field as it was masked for you: written back, it would take the place of the value; send only the fields that you change',
        );
    }
  }

  #isMask(raw: string, mask: FieldMask): boolean {
    if (!raw.startsWith('"')) return false;
    const text = JSON.parse(raw) as string;
    const clear = isBase64(this.info, mask.path) ? Buffer.from(text, 'base64').toString('utf8') : text;
    return clear === redacted || hashed.test(clear);
  }

  #replacement(mask: FieldMask): (raw: string, value: JsonValue) => string {
    const base64 = isBase64(this.info, mask.path);
    const written = (text: string) => JSON.stringify(base64 ? Buffer.from(text).toString('base64') : text);
    const stars = written(redacted);
    return (raw, { kind }) => {
      // A type that cannot hold the mask gets null.
      if (mask.with === 'null' || kind !== 'string') return 'null';
      if (mask.with === 'redact') return stars;
      const text = JSON.parse(raw) as string;
      const clear = base64 ? Buffer.from(text, 'base64') : Buffer.from(text);
      return written(
        `hash:${createHmac('sha256', Buffer.from(this.key(), 'hex')).update(clear).digest('hex').slice(0, 32)}`,
      );
    };
  }
}

const hashed = /^hash:[0-9a-f]{32}$/;

/** `test` answers what a value is, `copy` and `move` bring it to where it is not masked. */
function checkJsonPatch(patch: unknown): void {
  const operations = Array.isArray(patch) ? (patch as unknown[]) : [patch];
  for (const each of operations) {
    const op = typeof each === 'object' && each !== null && 'op' in each ? each.op : undefined;
    if (op !== 'add' && op !== 'replace' && op !== 'remove')
      throw new RequestRefusal(
        403,
        'masked_field_patched',
        'fields of this object are masked for you: a JSON patch may add, replace and remove, and neither test, copy nor move',
      );
    const value = 'value' in (each as object) ? (each as { value: unknown }).value : undefined;
    if (JSON.stringify(value ?? '').includes(redacted) || JSON.stringify(value ?? '').includes('Kioq'))
      throw new RequestRefusal(422, 'masked_value_written', 'the patch writes a masked value back');
  }
}

/** `spec.containers` of `spec.containers[*].env`. */
function plainStart(path: JsonPath): string {
  const names: string[] = [];
  for (const step of path) {
    if (typeof step !== 'object') break;
    names.push(step.member);
  }
  return names.join('.');
}

const within = (inner: string, outer: string) => outer === '' || inner === outer || inner.startsWith(`${outer}.`);
const overlap = (one: string, other: string) => within(one, other) || within(other, one);

/** Of an answer that is an error: what it quotes may be a value. */
const quoting = new Set(['Invalid', 'BadRequest', 'InternalError', 'UnsupportedMediaType', '']);

/** A Status as it may be shown where masks hold: which error it is stays, and what it says only where it quotes nothing. */
export function maskedStatus(text: string): string {
  let status: Record<string, unknown>;
  try {
    status = JSON.parse(text) as Record<string, unknown>;
  } catch {
    status = {};
  }
  const reason = typeof status['reason'] === 'string' ? status['reason'] : '';
  if (status['kind'] === 'Status' && !quoting.has(reason)) return text;
  const code = typeof status['code'] === 'number' ? status['code'] : 500;
  return JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'the API server refused this; what it said may quote fields that are masked for you, and is withheld',
    ...(reason === '' ? {} : { reason }),
    code,
  });
}
