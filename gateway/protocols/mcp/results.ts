import { setImmediate as nextTurn } from 'node:timers/promises';
import { UpstreamError } from '../../errors.js';
import type { Session } from '../../protocol.js';
import type { Catalogue } from './catalogue.js';
import type { McpUpstream } from './config.js';
import { isObject, versions, type JsonObject } from './methods.js';
import { useOf } from './operation.js';
import { pinProblem } from './tools.js';

/** What becomes of parameters and results on their way: versions and abilities that both sides and the gateway have, and lists of what may be used. */
export interface ResultParts {
  readonly upstream: McpUpstream;
  readonly session: Session;
  readonly catalogue: Catalogue;
  /** Both sides speak this version now. */
  readonly agreed: (version: string) => void;
}

const clientAbilities = ['roots', 'sampling', 'elicitation'] as const;
const serverAbilities = ['tools', 'resources', 'prompts', 'logging', 'completions'] as const;

/** As the server is told: of abilities only those that the gateway understands. */
export function askedOf(method: string, params: JsonObject): JsonObject {
  if (method !== 'initialize') return params;
  const { protocolVersion, capabilities, clientInfo } = params;
  return {
    protocolVersion: isVersion(protocolVersion) ? protocolVersion : versions[0],
    capabilities: only(capabilities, clientAbilities),
    clientInfo: only(clientInfo, ['name', 'version', 'title']),
  };
}

/** @param raw The result as the server wrote it. Throws UpstreamError for one that the gateway cannot go on with. */
export async function answerOf(method: string, raw: string, parts: ResultParts): Promise<string> {
  switch (method) {
    case 'initialize':
      return JSON.stringify(begun(JSON.parse(raw) as JsonObject, parts));
    case 'tools/list':
      return JSON.stringify(await toolsOf(JSON.parse(raw) as JsonObject, parts));
    case 'resources/list':
      return JSON.stringify(
        await listOf(JSON.parse(raw) as JsonObject, parts, { of: 'resources', kind: 'resource', by: 'uri' }),
      );
    case 'resources/templates/list':
      return JSON.stringify(
        await listOf(JSON.parse(raw) as JsonObject, parts, {
          of: 'resourceTemplates',
          kind: 'resource',
          by: 'uriTemplate',
        }),
      );
    case 'prompts/list':
      return JSON.stringify(
        await listOf(JSON.parse(raw) as JsonObject, parts, { of: 'prompts', kind: 'prompt', by: 'name' }),
      );
    default:
      return raw;
  }
}

function begun(result: JsonObject, { agreed }: ResultParts): JsonObject {
  const { protocolVersion, capabilities, serverInfo, instructions } = result;
  if (!isVersion(protocolVersion) || !isObject(capabilities) || !isObject(serverInfo))
    throw new UpstreamError(`the server speaks none of the versions ${versions.join(', ')}`);
  agreed(protocolVersion);
  return {
    protocolVersion,
    capabilities: only(capabilities, serverAbilities),
    serverInfo,
    ...(typeof instructions === 'string' ? { instructions } : {}),
  };
}

/** A principal sees what it may call: each tool is asked of policy. One that is not what it was is shown to nobody. */
async function toolsOf(result: JsonObject, { catalogue, session, upstream }: ResultParts): Promise<JsonObject> {
  const tools = await catalogue.learn(result['tools']);
  const shown = tools.filter(
    (tool) => pinProblem(tool) === undefined && session.decide(useOf('tool', tool, upstream)).outcome !== 'deny',
  );
  return { ...next(result), tools: shown.map(({ definition }) => definition) };
}

async function listOf(
  result: JsonObject,
  { session, upstream }: ResultParts,
  { of, kind, by }: { readonly of: string; readonly kind: 'resource' | 'prompt'; readonly by: string },
): Promise<JsonObject> {
  const listed = Array.isArray(result[of]) ? (result[of] as unknown[]).slice(0, listed_max).filter(isObject) : [];
  const shown: JsonObject[] = [];
  for (const [index, { _meta: _, ...one }] of listed.entries()) {
    // Each is asked of policy: whoever else asks meanwhile gets their turn.
    if (index % turn_of === turn_of - 1) await nextTurn();
    const name = one[by];
    if (typeof name === 'string' && session.decide(useOf(kind, name, upstream)).outcome !== 'deny') shown.push(one);
  }
  return { ...next(result), [of]: shown };
}

/** Of one page; what goes beyond is not shown. */
const listed_max = 10_000;
const turn_of = 100;

const next = ({ nextCursor }: JsonObject): JsonObject => (typeof nextCursor === 'string' ? { nextCursor } : {});

const isVersion = (version: unknown): version is string => (versions as readonly unknown[]).includes(version);

const only = (value: unknown, names: readonly string[]): JsonObject =>
  isObject(value) ? Object.fromEntries(Object.entries(value).filter(([name]) => names.includes(name))) : {};
