/** How much recordings may take: all together, and those of one principal, who could else leave none for anybody. */

export interface RoomParts {
  readonly total_bytes_max: number;
  readonly principal_bytes_max: number;
}

/** What is kept already. */
export interface Taken {
  /** Undefined: nobody knows whose it is. */
  readonly owner: string | undefined;
  readonly bytes: number;
}

export class Room {
  readonly #parts: RoomParts;
  #bytes = 0;
  #owners = new Map<string, number>();

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  /** False: there is not so much left, and nothing was taken. */
  take(owner: string, bytes: number): boolean {
    if (this.whyFull(owner, bytes) !== undefined) return false;
    this.#bytes += bytes;
    this.#owners.set(owner, (this.#owners.get(owner) ?? 0) + bytes);
    return true;
  }

  /** Undefined: so much more fits. */
  whyFull(owner: string, bytes: number): string | undefined {
    const { total_bytes_max, principal_bytes_max } = this.#parts;
    if (this.#bytes + bytes > total_bytes_max) return 'the folder of recordings is full';
    const own = (this.#owners.get(owner) ?? 0) + bytes;
    return own > principal_bytes_max ? 'recordings of this principal have all the room that they may have' : undefined;
  }

  /** What was found in the folder, in place of what was counted. */
  reset(found: Iterable<Taken>): void {
    this.#bytes = 0;
    this.#owners = new Map();
    for (const { owner, bytes } of found) {
      this.#bytes += bytes;
      if (owner !== undefined) this.#owners.set(owner, (this.#owners.get(owner) ?? 0) + bytes);
    }
  }
}
