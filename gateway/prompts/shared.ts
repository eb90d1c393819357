import type { Logger } from 'pino';
import { ApprovalError, StateError } from '../errors.js';
import { PromptsInMemory, type Prompts, type PromptText, type RegisteredPrompt } from './prompts.js';
import type { Identity } from '../protocol.js';
import type { Database } from '../state/database.js';
import type { Replica } from '../state/replica.js';

/**
 * Prompts that all replicas share through the state. Each has those of late in memory, too, so that an operation that names one asks
 * nobody; where no state is open, memory is all there is.
 */
export interface SharedPromptsParts {
  readonly database: Database;
  readonly replica: Replica;
  readonly log: Logger;
  readonly now: () => number;
}

const channel = 'sallyport_prompts';
/** Longer than any token's session: an operation names its prompt soon, or never. */
const kept_hours = 24;
const rows_max = 100_000;
/** Read at once by a replica that starts, or that may have missed some. */
const read_max = 1_000;

export class SharedPrompts implements Prompts {
  readonly #parts: SharedPromptsParts;
  readonly #memory: PromptsInMemory;
  readonly #unlisten: () => void;

  constructor(parts: SharedPromptsParts) {
    this.#parts = parts;
    this.#memory = new PromptsInMemory(parts.now);
    const read = (id?: string) => {
      this.#read(id).catch((error: unknown) => {
        if (!(error instanceof StateError)) parts.log.error({ err: error }, 'registered prompts could not be read');
      });
    };
    this.#unlisten = parts.database.listen(
      channel,
      (id) => read(id),
      () => read(),
    );
    parts.replica.onBeat(async () => {
      await parts.database.query('delete from sallyport.prompts where expires < now()');
    });
  }

  async register(identity: Identity, given: PromptText): Promise<RegisteredPrompt> {
    const prompt = await this.#memory.register(identity, given);
    if (this.#parts.database.started) await this.#keep(prompt);
    return prompt;
  }

  known(id: string): RegisteredPrompt | undefined {
    return this.#memory.known(id);
  }

  async get(id: string): Promise<RegisteredPrompt | undefined> {
    const known = this.#memory.known(id);
    if (known !== undefined || !this.#parts.database.started) return known;
    return (await this.#rows(id))[0];
  }

  async #keep({ id, at_ms: _, ...rest }: RegisteredPrompt): Promise<void> {
    await this.#parts.database.transaction(async (queries) => {
      const rows = await queries.query(
        `insert into sallyport.prompts (id, expires, prompt)
           select $1, now() + make_interval(hours => $2), $3 where (select count(*) from sallyport.prompts) < $4 returning id`,
        [id, kept_hours, JSON.stringify(rest), rows_max],
      );
      if (rows.length === 0) throw new ApprovalError('too_many', 'too many prompts were registered; try again later');
      await queries.query('select pg_notify($1, $2)', [channel, id]);
    });
  }

  async #read(id?: string): Promise<void> {
    for (const prompt of (await this.#rows(id)).reverse()) this.#memory.learn(prompt);
  }

  async #rows(id?: string): Promise<RegisteredPrompt[]> {
    const rows = await this.#parts.database.query<{ id: string; made: Date; prompt: string }>(
      `select id, made, prompt from sallyport.prompts where expires > now() and ($1::text is null or id = $1)
        order by made desc limit $2`,
      [id ?? null, read_max],
    );
    return rows.map(({ id: its, made, prompt }) => ({
      ...(JSON.parse(prompt) as Omit<RegisteredPrompt, 'id' | 'at_ms'>),
      id: its,
      at_ms: made.getTime(),
    }));
  }

  close(): void {
    this.#unlisten();
  }
}
