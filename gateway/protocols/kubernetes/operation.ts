import { actions, type Access, type Action, type Operation, type Resource } from '#engine';
import { stronger, type Programs } from '../../shell/index.js';
import { sha256 } from '../../web/index.js';
import type { KubernetesRequest } from './codec.js';
import { entered } from './entered.js';
import type { ResourceRequest } from './request-info.js';
import type { KubernetesOperation, WriteResult } from './schema.js';

/** Requests to operations: what each verb does to which object. */

interface Meaning {
  readonly action: Action;
  readonly access: Access;
}

const verbs: Readonly<Record<string, Meaning>> = {
  get: { action: 'read', access: 'read' },
  list: { action: 'read', access: 'read' },
  watch: { action: 'read', access: 'read' },
  create: { action: 'write', access: 'insert' },
  update: { action: 'write', access: 'update' },
  patch: { action: 'write', access: 'update' },
  delete: { action: 'delete', access: 'delete' },
  deletecollection: { action: 'delete', access: 'delete' },
};
const unknown: Meaning = { action: 'administer', access: 'administer' };

/** Subresources that do something else than their verb says, whichever verb it is. */
const subresources: Readonly<Record<string, Meaning>> = {
  exec: { action: 'execute', access: 'execute' },
  attach: { action: 'execute', access: 'execute' },
  proxy: { action: 'execute', access: 'execute' },
  portforward: { action: 'transfer', access: 'use' },
  ephemeralcontainers: { action: 'execute', access: 'execute' },
  eviction: { action: 'delete', access: 'delete' },
  token: unknown,
  approval: unknown,
  certificates: unknown,
};
/** What is asked with a POST and changes nothing. */
const reviews = new Set([
  ...['selfsubjectaccessreviews', 'selfsubjectrulesreviews', 'localsubjectaccessreviews', 'subjectaccessreviews'],
  'selfsubjectreviews',
]);
const reviewGroups = new Set(['authorization.k8s.io', 'authentication.k8s.io']);

/** Writes to these change who may do what, or what the API server itself does. */
const administering = new Set([
  'rbac.authorization.k8s.io',
  'admissionregistration.k8s.io',
  'apiregistration.k8s.io',
  'certificates.k8s.io',
  'flowcontrol.apiserver.k8s.io',
  'authentication.k8s.io',
]);
const administeringCore = new Set(['nodes', 'serviceaccounts']);
const defining = new Set([
  'namespaces',
  'customresourcedefinitions',
  'storageclasses',
  'priorityclasses',
  'runtimeclasses',
]);

/** Paths by which clients find out what there is. */
const discovery = /^\/(?:|api(?:\/v1)?|apis(?:\/[^/]+){0,2}|openapi\/v[23](?:\/.*)?|version|healthz|livez|readyz)$/;

export interface Place {
  /** HOST:PORT of the API server. */
  readonly host: string;
  readonly impersonate: boolean;
}

/** What a write would become, and a hash of all of it. */
export interface Becoming {
  readonly own: WriteResult;
  readonly digest: string;
}

/** @param becoming Of a write that was tried out: then the operation is that one effect. */
export function operationOf(
  request: KubernetesRequest,
  place: Place,
  programs?: Programs,
  becoming?: Becoming,
): Operation {
  const { info, dryRun, body } = request;
  const { action, access, opaque } = meaningOf(request);
  const inside = entered(request, programs);
  const resource: Resource = info.isResource
    ? { type: 'object', name: objectName(info), access }
    : { type: 'path', name: info.path, access };
  const kubernetes: KubernetesOperation = {
    ...(info.isResource ? describe(info) : { verb: info.verb, path: info.path }),
    dry_run: dryRun,
    ...(request.fieldManager === undefined ? {} : { field_manager: request.fieldManager }),
    ...(body.object === undefined ? {} : { object: shown(info.isResource ? info : undefined, body.object) }),
    ...(body.patch === undefined ? {} : { patch_type: body.patch }),
    ...(becoming === undefined ? {} : { result: becoming.own }),
    ...inside?.own,
    ...(request.container === undefined ? {} : { container: request.container }),
    impersonated: place.impersonate,
  };
  return {
    stage: 'execute',
    action: inside === undefined ? action : stronger(action, inside.action),
    resources: [{ type: 'host', name: place.host, access: 'use' }, resource, ...(inside?.resources ?? [])],
    opaque: body.opaque || (inside === undefined ? opaque : inside.opaque),
    hash: hashOf(request, place.host, becoming),
    kubernetes,
  };
}

function hashOf({ method, address, body, ports }: KubernetesRequest, host: string, becoming?: Becoming): string {
  const parts = [method, host, address.text, body.patch, sha256(body.bytes)];
  const more = becoming === undefined ? (ports === undefined ? [] : [ports]) : [{ becomes: becoming.digest }];
  return sha256(JSON.stringify([...parts, ...more]));
}

function meaningOf({ info }: KubernetesRequest): Meaning & { readonly opaque: boolean } {
  if (!info.isResource) {
    const looks = info.verb === 'get' || info.verb === 'head';
    if (looks && discovery.test(info.path)) return { action: 'session', access: 'use', opaque: false };
    return looks ? { action: 'read', access: 'read', opaque: false } : { ...unknown, opaque: true };
  }
  const { group, resource, subresource, verb } = info;
  if (verb === 'create' && reviewGroups.has(group) && reviews.has(resource))
    return { action: 'session', access: 'use', opaque: false };
  const known = Object.hasOwn(verbs, verb) ? verbs[verb] : verb === 'proxy' ? subresources['proxy'] : undefined;
  const own = Object.hasOwn(subresources, subresource) ? subresources[subresource] : undefined;
  const meaning = own ?? known ?? unknown;
  const writes = meaning.action !== 'read';
  const least: Action = !writes
    ? 'read'
    : administering.has(group) || (group === '' && administeringCore.has(resource))
      ? 'administer'
      : defining.has(resource)
        ? 'define'
        : meaning.action;
  const action = actions.indexOf(least) > actions.indexOf(meaning.action) ? least : meaning.action;
  return { action, access: meaning.access, opaque: known === undefined || streams(info) };
}

/** Subresources whose answer is no object, but what a program says, or a connection to it. */
const streaming = new Set(['exec', 'attach', 'proxy', 'portforward']);
export const streams = ({ verb, subresource }: ResourceRequest): boolean =>
  verb === 'proxy' || streaming.has(subresource);

/** What an operation is about, as its resources have it. */
export const objectOf = ({ resources }: Operation): string => resources[1]?.name ?? '';

/** deployments.apps, pods: as kubectl writes it. */
export const resourceName = ({ group, resource }: ResourceRequest): string =>
  group === '' ? resource : `${resource}.${group}`;

/** NAMESPACE/RESOURCE/NAME[/SUBRESOURCE]; "*" where there is no one name. */
function objectName(info: ResourceRequest): string {
  const parts = [resourceName(info), info.name === '' ? '*' : info.name];
  if (info.namespace !== '' && info.resource !== 'namespaces') parts.unshift(info.namespace);
  if (info.subresource !== '') parts.push(info.subresource);
  return parts.join('/');
}

function describe(info: ResourceRequest) {
  const { verb, group, version, namespace, resource, subresource, name, fieldSelector, labelSelector } = info;
  return {
    ...{ verb, group, version, namespace, resource, subresource, name },
    ...(fieldSelector === '' ? {} : { field_selector: fieldSelector }),
    ...(labelSelector === '' ? {} : { label_selector: labelSelector }),
  };
}

/** A Secret's values are for the API server: policy and records see its keys. */
export function shown(info: ResourceRequest | undefined, object: unknown): unknown {
  if (info?.resource !== 'secrets' || info.group !== '') return object;
  return withheld(object, undefined);
}

const secretFields = new Set(['data', 'stringData']);
const carrying = new Set(['value', 'kubectl.kubernetes.io/last-applied-configuration']);

/** Of a Secret, a list of them, or a patch in any form: what may hold values stands as "withheld". */
function withheld(value: unknown, name: string | undefined): unknown {
  if (name !== undefined && carrying.has(name)) return 'withheld';
  if (Array.isArray(value)) return value.map((each) => withheld(each, undefined));
  if (typeof value !== 'object' || value === null) return value;
  const inside = name !== undefined && secretFields.has(name);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, inside ? 'withheld' : withheld(each, key)]),
  );
}
