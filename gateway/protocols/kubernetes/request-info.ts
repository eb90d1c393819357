import { ProtocolError } from '../../errors.js';
import { flag, parameter, type Address } from './address.js';
import { exactName } from './selectors.js';

/**
 * What the API server itself takes a request for, and authorises: its verb, and the object that it is about.
 *
 * @see k8s.io/apiserver/pkg/endpoints/request, RequestInfoFactory.NewRequestInfo
 */
export type RequestInfo = ResourceRequest | PathRequest;

export interface ResourceRequest {
  readonly isResource: true;
  readonly verb: string;
  readonly prefix: string;
  /** Empty: the core group. */
  readonly group: string;
  readonly version: string;
  /** Empty: none, or all. */
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty where the request names none; of a list, the one name that its field selector asks for. */
  readonly name: string;
  /** From the resource on. */
  readonly parts: readonly string[];
  readonly fieldSelector: string;
  readonly labelSelector: string;
}

/** Health, version, discovery and whatever else is no object. */
export interface PathRequest {
  readonly isResource: false;
  /** The HTTP method, in small letters. */
  readonly verb: string;
  readonly path: string;
}

const prefixes = new Set(['api', 'apis']);
const verbsOfMethods: Readonly<Record<string, string>> = {
  POST: 'create',
  GET: 'get',
  HEAD: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};
/** Old forms, in which the verb stands in the path. */
const verbsInPaths = new Set(['proxy', 'watch']);
const namespaceSubresources = new Set(['status', 'finalize']);
const verbsWithSelectors = new Set(['list', 'watch', 'deletecollection']);

export function requestInfo(method: string, address: Address): RequestInfo {
  const [prefix = '', ...afterPrefix] = address.segments;
  const grouped = prefix !== 'api';
  if (!prefixes.has(prefix) || afterPrefix.length < (grouped ? 3 : 2)) {
    return { isResource: false, verb: method.toLowerCase(), path: `/${address.segments.join('/')}` };
  }
  const group = grouped ? afterPrefix[0]! : '';
  const [version = '', ...afterVersion] = grouped ? afterPrefix.slice(1) : afterPrefix;
  const inPath = verbsInPaths.has(afterVersion[0]!);
  if (inPath && afterVersion.length < 2) throw new ProtocolError('the path names a verb and no resource');
  const { namespace, parts } = placeOf(inPath ? afterVersion.slice(1) : afterVersion);
  const byMethod = inPath ? afterVersion[0]! : (verbsOfMethods[method] ?? '');
  const resource = parts[0] ?? '';
  const named = parts[1] ?? '';
  const { verb, name } = named === '' ? withoutName(byMethod, address) : { verb: byMethod, name: named };
  const selects = !inPath && verbsWithSelectors.has(verb);
  return {
    isResource: true,
    verb,
    prefix,
    group,
    version,
    namespace,
    resource,
    subresource: byMethod === 'proxy' ? '' : (parts[2] ?? ''),
    name,
    parts,
    fieldSelector: (selects && parameter(address, 'fieldSelector')) || '',
    labelSelector: (selects && parameter(address, 'labelSelector')) || '',
  };
}

/** /namespaces/NAME/pods is about pods; /namespaces/NAME and /namespaces/NAME/status are about the namespace. */
function placeOf(rest: readonly string[]): { namespace: string; parts: readonly string[] } {
  if (rest[0] !== 'namespaces') return { namespace: '', parts: rest };
  const namespace = rest[1] ?? '';
  const inside = rest.length > 2 && !namespaceSubresources.has(rest[2]!);
  return { namespace, parts: inside ? rest.slice(2) : rest };
}

/** Without a name, a get is a list or a watch, and a delete is one of all. */
function withoutName(verb: string, address: Address): { verb: string; name: string } {
  if (verb === 'delete') return { verb: 'deletecollection', name: '' };
  if (verb !== 'get') return { verb, name: '' };
  const name = exactName(parameter(address, 'fieldSelector') ?? '');
  return { verb: flag(address, 'watch') ? 'watch' : 'list', name };
}
