import { JsonError, maskText, noKinds } from '../../../content/index.js';
import { effect_bytes_max, type Effect } from '../../../protocol.js';
import { sha256 } from '../../../web/index.js';
import type { KubernetesRequest } from '../codec.js';
import type { Masks } from '../masks.js';
import { shown, type Becoming } from '../operation.js';
import type { WriteResult } from '../schema.js';
import { changesBetween, valueAt, type Change } from './changes.js';
import type { Known, Tried } from './trying.js';

const changes_max = 100;
const text_chars_max = 400;

/**
 * What a write would become as policy and people see it: masked as answers to whoever asks are, and bounded. Its digest is that of
 * the effect itself, unmasked and whole: what people have answered holds for this one alone.
 */
export function becomes(tried: Tried, request: KubernetesRequest, masks: Masks): Becoming {
  if (!tried.known) return { own: { known: false, why: tried.why }, digest: sha256(`unknown: ${tried.why}`) };
  const base = tried.before ?? sentAsIs(request);
  const all = changesBetween(compared(base, request), compared(tried.after, request));
  try {
    const [before, after] = [base, tried.after].map((object) => masked(object, request, masks));
    const changes = all.slice(0, changes_max).map((change) => readable(change, before, after));
    return {
      own: {
        known: true,
        exists: tried.before !== undefined,
        object: after,
        changes,
        ...(all.length > changes_max ? { changes_left_out: all.length - changes_max } : {}),
      },
      digest: digestOf(tried, all, request),
    };
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return becomes({ known: false, why: 'what it would become is deeper than is looked into' }, request, masks);
  }
}

/** What is made is compared with what was sent: what differs is what the API server puts to it. */
const sentAsIs = ({ body }: KubernetesRequest): unknown =>
  body.patch === undefined || body.patch === 'apply' ? body.object : undefined;

/** Fields that the API server keeps for itself: they differ with each write, and say nothing. */
const bookkeeping = new Set(['managedFields', 'resourceVersion', 'uid', 'creationTimestamp', 'generation', 'selfLink']);
const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const without = (fields: unknown, drops: (name: string) => boolean): unknown =>
  isFields(fields) ? Object.fromEntries(Object.entries(fields).filter(([name]) => !drops(name))) : fields;

function compared(object: unknown, { info }: KubernetesRequest): unknown {
  if (!isFields(object)) return object;
  // What runs meanwhile changes its status all the time; a write to the object itself changes none.
  const ofStatus = info.isResource && info.subresource === 'status';
  const rest = ofStatus ? object : (without(object, (name) => name === 'status') as Fields);
  const metadata = without(rest['metadata'], (name) => bookkeeping.has(name));
  if (!isFields(metadata)) return rest;
  const annotations = without(metadata['annotations'], (name) => name === lastApplied);
  const isEmpty = isFields(annotations) && Object.keys(annotations).length === 0;
  const { annotations: _, ...others } = metadata;
  return { ...rest, metadata: isEmpty || annotations === undefined ? others : { ...others, annotations } };
}

/** As an answer with it would be, without who manages which field. */
function masked(object: unknown, { info }: KubernetesRequest, { fields, kinds }: Masks): unknown {
  if (!isFields(object)) return object;
  const whole = { ...object, metadata: without(object['metadata'], (name) => name === 'managedFields') };
  const text = JSON.stringify(whole);
  const hidden = fields === undefined ? text : fields.mask(text);
  const found = kinds === noKinds ? hidden : maskText(hidden, { kinds, numbers: true });
  return shown(info.isResource ? info : undefined, JSON.parse(found) as unknown);
}

function readable(change: Change, before: unknown, after: unknown): NonNullable<WriteResult['changes']>[number] {
  const { path } = change;
  return {
    path,
    ...('before' in change ? { before: textOf(valueAt(before, path)) } : {}),
    ...('after' in change ? { after: textOf(valueAt(after, path)) } : {}),
  };
}

function textOf(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '…');
  return text.length > text_chars_max ? `${text.slice(0, text_chars_max - 1)}…` : text;
}

/** The effect, without what an API server makes up anew for each object that is made. */
function digestOf({ before, after }: Known, changes: readonly Change[], request: KubernetesRequest): string {
  const result = compared(after, request);
  if (before !== undefined) return sha256(JSON.stringify([result, changes]));
  const text = JSON.stringify(result);
  const { kind, metadata } = after as {
    kind: string;
    metadata: { uid?: unknown; name?: unknown; generateName?: unknown };
  };
  const { uid, name, generateName } = metadata;
  const madeUp = [
    ...(typeof uid === 'string' ? [uid] : []),
    ...(typeof generateName === 'string' && typeof name === 'string' ? [name] : []),
  ].filter((each) => each !== '');
  const plain = madeUp.reduce((rest, each) => rest.split(each).join('…'), text).replace(tokenVolume, '…');
  return sha256(kind === 'Service' ? plain.replace(ofService, '') : plain);
}

const tokenVolume = /kube-api-access-[a-z0-9]{5}/g;
const ofService = /"(?:clusterIP|clusterIPs|nodePort|healthCheckNodePort)":(?:"[^"]*"|\d+|\[[^\]]*\]),?/g;

/** The same for the screen of those who answer. */
export function effectOf({ own }: Becoming, object: string): Effect {
  if (!own.known) return { basis: 'estimated', reason: own.why ?? '', relations: [], notes: [] };
  const changes = own.changes ?? [];
  const left = own.changes_left_out ?? 0;
  const { exists } = own;
  const side = (which: 'before' | 'after') =>
    Object.fromEntries(
      changes.flatMap((change) => (change[which] === undefined ? [] : [[change.path, change[which]]])),
    );
  const sample = [{ ...(exists ? { before: side('before') } : {}), after: side('after') }];
  const notes = [
    ...(left === 0 ? [] : [`${left} more fields change`]),
    ...(exists ? [] : ['what is shown is what the API server puts to what was sent']),
  ];
  const effect: Effect = {
    basis: 'measured',
    relations: [{ relation: object, inserted: exists ? 0 : 1, updated: exists ? 1 : 0, deleted: 0, sample }],
    notes,
  };
  if (Buffer.byteLength(JSON.stringify(effect)) <= effect_bytes_max) return effect;
  const counts = effect.relations.map(({ sample: _, ...rest }) => rest);
  return { ...effect, relations: counts, notes: [...notes, 'the changes are too long to be shown'] };
}
