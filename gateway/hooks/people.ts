import { stat } from 'node:fs/promises';
import { readPeople, type Answers, type People, type Person } from '../config/index.js';
import type { Identity } from '../protocol.js';
import { HookError } from './signature.js';

/** Who somebody at the other side is here. A file of people is read again when it changes; one that cannot be read knows nobody. */
export class Directory {
  readonly #answers: Answers;
  /** Of the file that was read last. */
  #stamp = '';
  #known: People = {};

  constructor(answers: Answers) {
    this.#answers = answers;
  }

  /**
   * As whom they answer, until `expires_ms`: in the groups that both they are in and the webhook may speak for. Rejects with HookError.
   */
  async identify(name: string, expires_ms: number): Promise<Identity> {
    const { issuer, groups } = this.#answers;
    const people = await this.#people();
    const person: Person | undefined = Object.hasOwn(people, name) ? people[name] : undefined;
    if (person === undefined) throw new HookError('unknown_person', 'nobody here is known by this name');
    return {
      principal: {
        subject: person.subject,
        issuer,
        kind: 'human',
        groups: person.groups.filter((group) => groups.includes(group)),
        roles: [],
        attributes: {},
        token: { expires: new Date(expires_ms).toISOString() },
      },
      expires_ms,
    };
  }

  async #people(): Promise<People> {
    const { people } = this.#answers;
    if (!isFile(people)) return people;
    try {
      const { mtimeMs, ctimeMs, size, ino } = await stat(people.file);
      const stamp = `${String(mtimeMs)} ${String(ctimeMs)} ${String(size)} ${String(ino)}`;
      if (stamp !== this.#stamp) {
        this.#known = await readPeople(people.file);
        this.#stamp = stamp;
      }
      return this.#known;
    } catch (error) {
      // Whoever was taken out of it must not come back by an older copy.
      throw new HookError('people_unreadable', (error as Error).message);
    }
  }
}

const isFile = (people: Answers['people']): people is { readonly file: string } => typeof people['file'] === 'string';
