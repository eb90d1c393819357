/**
 * What the demo's provider remembers of sign-ins and clients, for as long as it runs. It grows with the sign-ins of one person at
 * one machine; what has expired is dropped when something else comes.
 *
 * @see https://github.com/panva/node-oidc-provider/blob/main/example/my_adapter.js
 */
export function createMemory(): (model: string) => Memory {
  const kept = new Map<string, Kept>();
  return (model) => new Memory(kept, model);
}

interface Kept {
  readonly payload: Payload;
  readonly until_ms: number;
}

export class Memory {
  readonly #kept: Map<string, Kept>;
  readonly #model: string;

  constructor(kept: Map<string, Kept>, model: string) {
    this.#kept = kept;
    this.#model = model;
  }

  async upsert(id: string, payload: Payload, expiresIn_s?: number): Promise<void> {
    const now_ms = Date.now();
    for (const [key, { until_ms }] of this.#kept) if (until_ms < now_ms) this.#kept.delete(key);
    this.#kept.set(this.#key(id), {
      payload,
      until_ms: expiresIn_s === undefined ? Infinity : now_ms + expiresIn_s * 1000,
    });
  }

  async find(id: string): Promise<Payload | undefined> {
    const found = this.#kept.get(this.#key(id));
    return found === undefined || found.until_ms < Date.now() ? undefined : found.payload;
  }

  async findByUid(uid: string): Promise<Payload | undefined> {
    return [...this.#kept.values()].find(({ payload }) => payload['uid'] === uid)?.payload;
  }

  /** Of the device flow, which the demo has not. */
  async findByUserCode(): Promise<undefined> {}

  async consume(id: string): Promise<void> {
    const found = await this.find(id);
    if (found !== undefined) found['consumed'] = Math.floor(Date.now() / 1000);
  }

  async destroy(id: string): Promise<void> {
    this.#kept.delete(this.#key(id));
  }

  async revokeByGrantId(grant: string): Promise<void> {
    for (const [key, { payload }] of this.#kept) if (payload['grantId'] === grant) this.#kept.delete(key);
  }

  #key(id: string): string {
    return `${this.#model}:${id}`;
  }
}

type Payload = Record<string, unknown>;
