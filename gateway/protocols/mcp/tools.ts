import { sha256 } from '../../web/index.js';
import { canonical } from './canonical.js';
import type { McpUpstream } from './config.js';
import { isObject, type JsonObject } from './methods.js';
import type { Pin } from './schema.js';
import { compileSchema, type Check } from './validation.js';

/**
 * What a server says of its tools, and whether that is still what was approved. A description is read by a model and obeyed as an
 * instruction is, so a tool that says something else than before is another tool.
 */
export interface Tool {
  readonly name: string;
  /** As the client gets it: what the server said, `_meta` aside. */
  readonly definition: JsonObject;
  readonly digest: string;
  readonly pin: Pin;
  readonly annotations: Readonly<Record<string, boolean>>;
  /** Whether results have a form of their own, which a refusal would not fit. */
  readonly has_output_schema: boolean;
  /** What is wrong with arguments; undefined where nothing is. */
  readonly check: Check;
}

/**
 * Where it is kept what a tool was when it was first seen: gives what is kept, which is `digest` if nothing was; undefined where no more
 * can be kept.
 */
export type FirstSeen = (tool: string, digest: string) => Promise<string | undefined>;

const name_pattern = /^[A-Za-z0-9_./-]{1,128}$/;
const hints = ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint'] as const;
/** Of one server; what goes beyond is not shown and not called. */
export const tools_max = 1_000;

/** @param listed The `tools` of a tools/list. What is no tool, or not the only one of its name, is left out. */
export async function readTools(
  listed: unknown,
  { pinned, trust_first }: Pick<McpUpstream, 'pinned' | 'trust_first'>,
  firstSeen: FirstSeen,
): Promise<Tool[]> {
  const tools: Tool[] = [];
  const names = new Map<string, number>();
  const all = Array.isArray(listed) ? (listed as unknown[]).slice(0, tools_max).filter(isObject) : [];
  for (const { name } of all) if (typeof name === 'string') names.set(name, (names.get(name) ?? 0) + 1);
  for (const { _meta: _, ...definition } of all) {
    const { name, inputSchema } = definition;
    if (typeof name !== 'string' || !name_pattern.test(name) || names.get(name) !== 1 || !isObject(inputSchema))
      continue;
    const digest = sha256(canonical(definition));
    const pin = await pinOf(name, digest, pinned.get(name), trust_first, firstSeen);
    tools.push({
      name,
      definition,
      digest,
      pin,
      annotations: annotationsOf(definition['annotations']),
      has_output_schema: 'outputSchema' in definition,
      check: lazily(inputSchema),
    });
  }
  return tools;
}

async function pinOf(
  name: string,
  digest: string,
  pinned: string | undefined,
  trustFirst: boolean,
  firstSeen: FirstSeen,
): Promise<Pin> {
  if (pinned !== undefined) return pinned === digest ? 'pinned' : 'changed';
  if (!trustFirst) return 'unpinned';
  const first = await firstSeen(name, digest);
  if (first === undefined) return 'unpinned';
  return first === digest ? 'seen' : 'changed';
}

function annotationsOf(said: unknown): Readonly<Record<string, boolean>> {
  if (!isObject(said)) return {};
  return Object.fromEntries(
    hints.flatMap((hint) => (typeof said[hint] === 'boolean' ? [[hint, said[hint]] as const] : [])),
  );
}

/** Most tools are listed and never called. A schema that cannot be used lets no arguments through. */
function lazily(schema: JsonObject): Check {
  let check: Check | undefined;
  return (value) => {
    try {
      check ??= compileSchema(schema);
    } catch {
      check = () => "the tool's schema cannot be used, so nothing can be checked against it";
    }
    return check(value);
  };
}

/** Why a tool may not be called, whatever policy says; undefined where it may. */
export function pinProblem({ name, pin, digest }: Tool): string | undefined {
  const look = `look at its definition and pin it (upstream.pinned: {${name}: ${digest}})`;
  switch (pin) {
    case 'changed':
      return `the tool ${name} is not what it was: its description or schema changed. Whoever runs the gateway has to ${look}`;
    case 'unpinned':
      return `nobody has looked at the tool ${name}. Whoever runs the gateway has to ${look}`;
    default:
      return undefined;
  }
}
