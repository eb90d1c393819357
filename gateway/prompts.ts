import { randomBytes } from 'node:crypto';
import { ApprovalError } from './errors.js';
import type { Identity } from './protocol.js';

/**
 * Prompts that were registered ahead of the operations that name them: an agent whose protocol has no room for a text sends
 * the text once and gets an id that fits anywhere. What is registered is claimed, as every prompt is.
 */
export interface Prompts {
  /** Keeps the text under a new id. Rejects with ApprovalError ("too_many") or StateError. */
  register(identity: Identity, prompt: PromptText): Promise<RegisteredPrompt>;
  get(id: string): Promise<RegisteredPrompt | undefined>;
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
    this.#prompts.set(prompt.id, prompt);
    this.#chars += text.length;
    for (const [id, { text: old }] of this.#prompts) {
      if (this.#prompts.size <= prompts_max && this.#chars <= chars_max) break;
      this.#prompts.delete(id);
      this.#chars -= old.length;
    }
    return prompt;
  }

  async get(id: string): Promise<RegisteredPrompt | undefined> {
    return this.#prompts.get(id);
  }
}
