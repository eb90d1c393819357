import { randomBytes } from 'node:crypto';
import type { Principal, Prompt } from '#engine';
import { ApprovalError } from '../errors.js';
import type { Identity } from '../protocol.js';

/**
 * Prompts that were registered ahead of the operations that name them: an agent whose protocol has no room for a text sends
 * the text once and gets an id that fits anywhere. What is registered is claimed, as every prompt is.
 */
export interface Prompts {
  /** Keeps the text under a new id. Rejects with ApprovalError ("too_many") or StateError. */
  register(identity: Identity, prompt: PromptText): Promise<RegisteredPrompt>;
  get(id: string): Promise<RegisteredPrompt | undefined>;
  /** What this gateway has heard of; asks nobody. */
  known(id: string): RegisteredPrompt | undefined;
}

export interface PromptText {
  readonly text: string;
  /** A W3C traceparent. */
  readonly trace?: string;
}

export interface RegisteredPrompt extends PromptText {
  /** "p-…": 128 random bits, so that nobody names another's prompt by guessing. */
  readonly id: string;
  /** Only whoever registered it may name it. */
  readonly by: { readonly issuer: string; readonly subject: string };
  /** Milliseconds since the epoch. */
  readonly at_ms: number;
}

/**
 * What an operation says of its prompt, with the text that was registered under the id it names. Where somebody else registered that, or
 * nobody is known to have, it is what it was: an id that is claimed. A text of the operation's own goes before.
 */
export function registered(said: Prompt, principal: Principal, prompts: Pick<Prompts, 'known'> | undefined): Prompt {
  const { id: session, text, ...rest } = said;
  // A comment has room for one word of it: there an id stands in the place of the text.
  const id = text !== undefined && ids.test(text) ? text : session;
  const known = id === undefined ? undefined : prompts?.known(id);
  if (known?.by.subject !== principal.subject || known.by.issuer !== principal.issuer) return said;
  const own = text === undefined || text === id ? known.text : text;
  return { ...(known.trace === undefined ? {} : { trace: known.trace }), ...rest, id: known.id, text: own };
}

/** What an operation says of its prompt goes before what its session said. */
export function together(session: Prompt | undefined, operation: Prompt | undefined): Prompt | undefined {
  if (operation === undefined || session === undefined) return operation ?? session;
  // Another prompt's text is not this one's.
  const isOther = operation.id !== undefined && operation.id !== session.id;
  const { text: _, ...rest } = session;
  return { ...(isOther ? rest : session), ...operation };
}

const ids = /^p-[0-9a-f]{32}$/u;

/** Longer than any prompt that a person will read. */
export const prompt_chars_max = 32_768;
const prompts_max = 10_000;
const chars_max = 64 * 1024 * 1024;

/** Prompts in this process's memory: the oldest make room, and all are gone when it ends. */
export class PromptsInMemory implements Prompts {
  readonly #prompts = new Map<string, RegisteredPrompt>();
  readonly #now: () => number;
  #chars = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  async register({ principal }: Identity, { text, trace }: PromptText): Promise<RegisteredPrompt> {
    if (text.length > prompt_chars_max) {
      throw new ApprovalError('too_many', `a prompt may have at most ${prompt_chars_max} characters`);
    }
    const prompt: RegisteredPrompt = {
      id: `p-${randomBytes(16).toString('hex')}`,
      text,
      ...(trace === undefined ? {} : { trace }),
      by: { issuer: principal.issuer, subject: principal.subject },
      at_ms: this.#now(),
    };
    this.learn(prompt);
    return prompt;
  }

  /** Another gateway registered it. */
  learn(prompt: RegisteredPrompt): void {
    if (this.#prompts.has(prompt.id)) return;
    this.#prompts.set(prompt.id, prompt);
    this.#chars += prompt.text.length;
    for (const [id, { text: old }] of this.#prompts) {
      if (this.#prompts.size <= prompts_max && this.#chars <= chars_max) break;
      this.#prompts.delete(id);
      this.#chars -= old.length;
    }
  }

  known(id: string): RegisteredPrompt | undefined {
    return this.#prompts.get(id);
  }

  async get(id: string): Promise<RegisteredPrompt | undefined> {
    return this.#prompts.get(id);
  }
}
