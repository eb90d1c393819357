import { UpstreamError } from '../../errors.js';
import type { McpUpstream } from './config.js';
import type { JsonObject } from './methods.js';
import { readTools, tools_max, type FirstSeen, type Tool } from './tools.js';

/** The tools of one session's server: arguments are checked against what it says of them. */
export class Catalogue {
  readonly #upstream: McpUpstream;
  readonly #firstSeen: FirstSeen;
  readonly #ask: (cursor: string | undefined) => Promise<JsonObject>;
  #tools = new Map<string, Tool>();
  #loading: Promise<void> | undefined;
  #loaded_ms = 0;

  /** @param ask A page of the server's tools, behind this cursor. Rejects with UpstreamError. */
  constructor(upstream: McpUpstream, firstSeen: FirstSeen, ask: (cursor: string | undefined) => Promise<JsonObject>) {
    this.#upstream = upstream;
    this.#firstSeen = firstSeen;
    this.#ask = ask;
  }

  /** The server says that its tools are others now. */
  stale(): void {
    this.#tools = new Map();
    this.#loaded_ms = 0;
  }

  /** A page of a list that goes to the client. */
  async learn(listed: unknown): Promise<Tool[]> {
    const tools = await readTools(listed, this.#upstream, this.#firstSeen);
    for (const tool of tools) if (this.#tools.size < tools_max) this.#tools.set(tool.name, tool);
    return tools;
  }

  /** Undefined where the server has none of this name. Throws UpstreamError where it cannot be asked. */
  async find(name: string): Promise<Tool | undefined> {
    const known = this.#tools.get(name);
    // Not every server says when it has more.
    if (known !== undefined || Date.now() - this.#loaded_ms < again_ms) return known;
    this.#loading ??= this.#load().finally(() => (this.#loading = undefined));
    await this.#loading;
    return this.#tools.get(name);
  }

  async #load(): Promise<void> {
    let cursor: string | undefined;
    for (let page = 0; page < pages_max; page++) {
      const result = await this.#ask(cursor);
      await this.learn(result['tools']);
      const next = result['nextCursor'];
      if (typeof next !== 'string' || next === '' || next === cursor) break;
      if (page === pages_max - 1) throw new UpstreamError('the server has more pages of tools than are looked at');
      cursor = next;
    }
    this.#loaded_ms = Date.now();
  }
}

const pages_max = 50;
const again_ms = 10_000;
