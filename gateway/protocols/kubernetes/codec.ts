import { isScalar, parseDocument, visit, type Document } from 'yaml';
import { bodyOf, checkUnpacked, readFields, RequestRefusal } from '../../web/index.js';
import { flag, parameter, readAddress, type Address } from './address.js';
import { jsonOfProtobuf, protobuf } from './protobuf/json.js';
import { requestInfo, type RequestInfo } from './request-info.js';
import type { PatchType } from './schema.js';

/** A request to an API server, understood. */
export interface KubernetesRequest {
  readonly method: string;
  readonly address: Address;
  readonly info: RequestInfo;
  readonly dryRun: boolean;
  readonly fieldManager: string | undefined;
  /** Of exec and attach. */
  readonly running: Running | undefined;
  /** Of a port-forward: those that it names; undefined where it names none. */
  readonly ports: readonly number[] | undefined;
  readonly container: string | undefined;
  readonly body: ObjectBody;
  /** What goes on of the fields: how to answer, and who says to ask. */
  readonly fields: ReadonlyMap<string, string>;
}

/** What is to run in a container, and what it is joined with. */
export interface Running {
  /** Empty: what runs there already (attach). */
  readonly argv: readonly string[];
  readonly stdin: boolean;
  readonly terminal: boolean;
}

export interface ObjectBody {
  /** What goes on; of YAML and protobuf, the same as JSON. */
  readonly bytes: Buffer;
  readonly object?: unknown;
  readonly patch?: PatchType;
  readonly media?: string;
  /** True: nothing is known of what it says. */
  readonly opaque: boolean;
}

const methods: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);
const forwarded = ['accept', 'accept-encoding', 'user-agent', 'kubectl-command', 'kubectl-session'];
const patches: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};
const noRepeats = { repeated: new Set<string>() };

/** "/kubernetes/TARGET/api/…" taken apart; the target's name is not decoded. */
export function addressed(url: string): { readonly target: string; readonly rest: string } {
  const [, target = '', rest = ''] = /^\/kubernetes\/([A-Za-z0-9._-]+)((?:[/?].*)?)$/.exec(url) ?? [];
  if (target === '')
    throw new RequestRefusal(
      404,
      'unknown_target',
      'ask /kubernetes/TARGET/…: docs/protocols/kubernetes.md has a kubeconfig for it',
    );
  return { target, rest };
}

/** Throws RequestRefusal. */
export function readRequest(method: string, rest: string, raw: readonly string[], bytes: Buffer): KubernetesRequest {
  if (!methods.has(method)) throw new RequestRefusal(405, 'method', `the method ${method} is none of this API`);
  const { all } = readFields(raw, true);
  for (const name of all.keys()) {
    // Whoever asks is who the token says; the gateway alone may speak for others.
    if (name.startsWith('impersonate-') || name.startsWith('x-remote-'))
      throw new RequestRefusal(403, 'impersonation', 'impersonation is not passed on: your token says who you are');
  }
  const address = readAddress(rest);
  const info = requestInfo(method, address);
  return {
    method,
    address,
    info,
    dryRun: parameter(address, 'dryRun') === 'All',
    fieldManager: parameter(address, 'fieldManager'),
    running: runningOf(info, address),
    ports: portsOf(info, address),
    container: parameter(address, 'container'),
    body: readObject(method, bytes, all),
    fields: new Map(forwarded.flatMap((name) => (all.has(name) ? [[name, all.get(name)!]] : []))),
  };
}

function runningOf(info: RequestInfo, address: Address): Running | undefined {
  if (!info.isResource || (info.subresource !== 'exec' && info.subresource !== 'attach')) return undefined;
  const argv = info.subresource === 'exec' ? (address.parameters['command'] ?? []) : [];
  return { argv, stdin: flag(address, 'stdin'), terminal: flag(address, 'tty') };
}

const ports_max = 64;

/** As a kubelet reads them; one that is no port is refused, not left out. */
function portsOf(info: RequestInfo, address: Address): readonly number[] | undefined {
  const named = address.parameters['ports'];
  if (!info.isResource || info.subresource !== 'portforward' || named === undefined) return undefined;
  const texts = named.flatMap((text) => text.split(','));
  const ports = texts.map((text) => (/^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : 0));
  if (ports.length > ports_max || ports.some((port) => port < 1 || port > 65_535))
    throw new RequestRefusal(400, 'ports', `ports are numbers from 1 to 65535, ${ports_max} at most`);
  return ports;
}

function readObject(method: string, bytes: Buffer, fields: ReadonlyMap<string, string>): ObjectBody {
  if (bytes.length === 0) return { bytes, opaque: false };
  if (method === 'GET' || method === 'HEAD') throw new RequestRefusal(400, 'body', `a ${method} has no body here`);
  checkUnpacked(fields);
  const media = (fields.get('content-type') ?? 'application/json').split(';', 1)[0]!.trim().toLowerCase();
  const patch = Object.hasOwn(patches, media) ? patches[media] : undefined;
  if ((patch !== undefined) !== (method === 'PATCH'))
    throw new RequestRefusal(415, 'media_type', `a ${method} with ${media} means nothing to the API server`);
  if (media === 'application/yaml' || patch === 'apply')
    return {
      ...fromYaml(bytes),
      media: patch === undefined ? 'application/json' : media,
      ...(patch === undefined ? {} : { patch }),
    };
  if (patch === undefined && media === protobuf)
    return fromJson(Buffer.from(jsonOfProtobuf(bytes)), 'application/json');
  if (patch === undefined && media !== 'application/json')
    throw new RequestRefusal(415, 'media_type', `write objects as JSON, YAML or protobuf: ${media} is not looked into`);
  return fromJson(bytes, media, patch);
}

function fromJson(bytes: Buffer, media: string, patch?: PatchType): ObjectBody {
  const { seen } = bodyOf(
    bytes,
    new Map([['content-type', patch === undefined ? 'application/json' : media]]),
    noRepeats,
  );
  const form = { bytes, media, ...(patch === undefined ? {} : { patch }) };
  return seen?.kind === 'json' ? { ...form, opaque: false, object: seen.json } : { ...form, opaque: true };
}

const yaml_bytes_max = 1_048_576;

/** YAML has more than one reading: what leaves is the JSON of the one that was judged. */
function fromYaml(bytes: Buffer): Pick<ObjectBody, 'bytes' | 'object' | 'opaque'> {
  if (bytes.length > yaml_bytes_max) throw new RequestRefusal(413, 'body_too_large', 'the YAML has more than 1 MiB');
  const document = parseDocument(bytes.toString('utf8'), {
    version: '1.1',
    schema: 'yaml-1.1',
    merge: false,
    uniqueKeys: true,
    strict: true,
    intAsBigInt: false,
  });
  const [problem] = document.errors;
  if (problem !== undefined)
    throw new RequestRefusal(400, 'yaml', `the YAML cannot be read: ${problem.message.split('\n', 1)[0]!}`);
  if (!namedApart(document))
    throw new RequestRefusal(400, 'yaml', 'the YAML has a key that JSON has not, or two that JSON would take for one');
  let object: unknown;
  try {
    object = document.toJS({ maxAliasCount: 0 });
  } catch {
    throw new RequestRefusal(400, 'yaml', 'the YAML has aliases: write each value where it stands');
  }
  if (!plain(object))
    throw new RequestRefusal(400, 'yaml', 'the YAML has a value that JSON has not, or a number that JSON would round');
  return { bytes: Buffer.from(JSON.stringify(object)), object, opaque: false };
}

function nameOf(key: unknown): string | undefined {
  const value = isScalar(key) ? key.value : undefined;
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

/** Keys of JSON are texts: 1 and "1" would be one, and a list or a map is none. */
function namedApart(document: Document): boolean {
  let apart = true;
  visit(document, {
    Map: (_, { items }) => {
      const names = items.map(({ key }) => nameOf(key));
      apart &&= !names.includes(undefined) && new Set(names).size === names.length;
      return apart ? undefined : visit.BREAK;
    },
  });
  return apart;
}

function plain(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value));
    case 'object':
      if (value === null) return true;
      if (Array.isArray(value)) return value.every(plain);
      return Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(plain);
    default:
      return false;
  }
}
