import { UpstreamError } from '../../../errors.js';
import { readAnswer } from '../../../web/index.js';
import type { KubernetesRequest } from '../codec.js';
import type { ResourceRequest } from '../request-info.js';
import type { Send } from './trying.js';

/**
 * Whether a write can be tried at all. Groups may be served by somebody else's server behind the API server (aggregation), and one that
 * does not know of dry runs passes over the parameter: what is meant as a trial would be done. So what is not the API server's
 * own is tried only where its description has the parameter, as kubectl does it.
 *
 * @see https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
 * @see k8s.io/cli-runtime/pkg/resource, QueryParamVerifierV3
 */

/**
 * Groups of the API server itself, beside that without a name, by their settled versions. What is missing here costs a look at the
 * description: also another version of such a group, which may be somebody else's under the same name.
 */
const own: ReadonlySet<string> = new Set([
  ...['apps', 'autoscaling', 'batch', 'policy'],
  ...[
    ...['admissionregistration', 'apiextensions', 'apiregistration', 'authentication', 'authorization', 'certificates'],
    ...['coordination', 'discovery', 'events', 'flowcontrol.apiserver', 'networking', 'node', 'rbac.authorization'],
    ...['scheduling', 'storage'],
  ].map((name) => `${name}.k8s.io`),
]);

const settled = (group: string, version: string) =>
  own.has(group) && (version === 'v1' || (group === 'autoscaling' && version === 'v2'));

/** Of the description of one version of a group. */
const description_bytes_max = 4_194_304;
const name_pattern = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/;

/** Why it must not be tried; undefined where it may. Throws UpstreamError where the API server cannot be asked. */
export async function whyUntriable(request: KubernetesRequest, send: Send): Promise<string | undefined> {
  const { info } = request;
  if (!info.isResource) return 'it is about no object';
  const { prefix, group, version } = info;
  if (prefix === 'api' || settled(group, version)) return undefined;
  if (!name_pattern.test(group) || !name_pattern.test(version)) return 'its group or version is no name';
  const description = await describe(request, `/openapi/v3/apis/${group}/${version}`, send);
  if (knowsDryRun(description, info, request.method)) return undefined;
  return `nothing says that the server of ${group} knows dry runs: its OpenAPI description has no parameter dryRun for this`;
}

/** Undefined: there is none that could be read. */
async function describe(request: KubernetesRequest, text: string, send: Send): Promise<unknown> {
  const address = { segments: text.split('/').slice(1), parameters: {}, text };
  const answer = await send({ ...request, method: 'GET', address, body: { bytes: Buffer.alloc(0), opaque: false } });
  if (answer.statusCode !== 200) {
    answer.destroy();
    return undefined;
  }
  try {
    return JSON.parse((await readAnswer(answer, description_bytes_max)).toString('utf8')) as unknown;
  } catch (error) {
    if (error instanceof UpstreamError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function knowsDryRun(
  description: unknown,
  { prefix, group, version, namespace, parts }: ResourceRequest,
  method: string,
) {
  const [resource = '', name, ...rest] = parts;
  const path = [
    ...['', prefix, group, version],
    ...(namespace === '' ? [] : ['namespaces', '{namespace}']),
    ...[resource, ...(name === undefined ? [] : ['{name}']), ...rest],
  ].join('/');
  const place = member(member(description, 'paths'), path);
  const operation = member(place, method.toLowerCase());
  return [place, operation].some((each) => {
    const parameters = operation === undefined ? undefined : member(each, 'parameters');
    return Array.isArray(parameters) && parameters.some(isDryRun);
  });
}

const isDryRun = (parameter: unknown) => member(parameter, 'name') === 'dryRun' && member(parameter, 'in') === 'query';

/** Of an object its own alone. */
const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, unknown>>)[name]
    : undefined;
