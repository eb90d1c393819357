import { hash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { parse } from 'yaml';
import type { DirectoryConfig } from '../config/index.js';
import { IdentityError } from '../errors.js';
import type { Identity } from '../protocol.js';
import { boundedText } from './discovery.js';
import { stale_ms_max } from './keys.js';

/**
 * Who is in which group, where tokens do not say: a list of groups as SCIM has them (RFC 7643, 4.2), in a file or at a URL.
 * Groups may be members of groups. Who is not in it is in none of its groups; while it cannot be had, nobody signs in:
 * a rule against a group must not miss somebody because a file was away.
 */
export interface Directory {
  /** Differs between any two contents that were in force one after the other. */
  readonly generation: string;
  /** Brings it up to date where that is due. Throws IdentityError where there is none to rely on. */
  refresh(): Promise<void>;
  /** All groups of a subject, those that they are in through others included. Throws IdentityError where they are too many. */
  groupsOf(subject: string): readonly string[];
  close(): void;
}

export interface DirectoryOptions {
  readonly now: () => number;
  readonly log: Logger | undefined;
  readonly fetch: typeof fetch;
}

const look_ms = 1_000;
const answer_ms_max = 5_000;
const content_bytes_max = 16_777_216;
const groups_max = 20_000;
const members_max = 500_000;
const groupsOfOne_max = 1_000;
const name_chars_max = 256;

/** Whom and what a group has directly, and which groups it is in. */
interface Membership {
  readonly ofSubject: ReadonlyMap<string, readonly string[]>;
  readonly ofGroup: ReadonlyMap<string, readonly string[]>;
}

/** @throws Error that says what is wrong with it */
export function readDirectory(text: string): Membership {
  const value = parse(text, { maxAliasCount: 0, uniqueKeys: true, stringKeys: true }) as Record<string, unknown> | null;
  const groups = value?.['groups'] ?? value?.['Resources'];
  if (!Array.isArray(groups)) throw new Error('it has no list "groups" (or "Resources", as SCIM answers)');
  const total = value?.['totalResults'];
  if (typeof total === 'number' && total > groups.length)
    throw new Error('it is one page of several: ask for all groups at once');
  if (groups.length > groups_max) throw new Error(`it has more than ${groups_max} groups`);
  // SCIM refers to groups by their id; people who write a file, by their name.
  const names = new Map<string, string>();
  for (const group of groups as Group[]) {
    const name = nameOf(group?.displayName, 'displayName');
    if (names.has(name)) throw new Error(`it has the group "${name}" twice`);
    names.set(name, name);
  }
  for (const group of groups as Group[]) {
    if (group.id !== undefined) names.set(nameOf(group.id, 'id'), group.displayName as string);
  }
  const ofSubject = new Map<string, string[]>();
  const ofGroup = new Map<string, string[]>();
  let members = 0;
  for (const { displayName, members: given = [] } of groups as Group[]) {
    if (!Array.isArray(given)) throw new Error(`the members of "${String(displayName)}" are no list`);
    for (const member of given as (Member | string)[]) {
      members += 1;
      if (members > members_max) throw new Error(`it has more than ${members_max} members`);
      // A name alone is how people write a file. A member that SCIM gives without a type may be either: it is none.
      const { value: whom, type } = typeof member === 'string' ? { value: member, type: 'User' } : member;
      if (type !== undefined && type !== 'User' && type !== 'Group')
        throw new Error(`${JSON.stringify(type)} is no type of a member: User or Group`);
      const key = nameOf(whom, 'value');
      if (type === undefined) continue;
      const inner = type === 'Group' ? names.get(key) : key;
      // A group that is not here has no members that anybody could know of.
      if (inner === undefined) continue;
      const into = type === 'Group' ? ofGroup : ofSubject;
      into.set(inner, [...(into.get(inner) ?? []), displayName as string]);
    }
  }
  return { ofSubject, ofGroup };
}

interface Group {
  readonly id?: unknown;
  readonly displayName?: unknown;
  readonly members?: unknown;
}
interface Member {
  readonly value?: unknown;
  readonly type?: unknown;
}

function nameOf(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= name_chars_max && !/\p{Cc}/u.test(value))
    return value;
  throw new Error(`a "${what}" in it is no name of 1 to ${name_chars_max} characters`);
}

/** Upwards from the subject, each group once: a circle of groups ends where it began. */
export function groupsOf({ ofSubject, ofGroup }: Membership, subject: string): readonly string[] {
  const found = new Set(ofSubject.get(subject) ?? []);
  for (const group of found) {
    for (const outer of ofGroup.get(group) ?? []) found.add(outer);
    if (found.size > groupsOfOne_max)
      throw new IdentityError('directory', `the directory has you in more than ${groupsOfOne_max} groups`);
  }
  return [...found];
}

/** The groups that the directory has for the subject, beside those that somebody vouched for already. */
export function inGroups(identity: Identity, directory: Directory): Identity {
  const { principal } = identity;
  const groups = [...new Set([...principal.groups, ...directory.groupsOf(principal.subject)])];
  return Object.freeze({
    ...identity,
    principal: Object.freeze({ ...principal, groups: Object.freeze(groups) as string[] }),
  });
}

export function openDirectory(config: DirectoryConfig, { now, log, fetch: fetcher }: DirectoryOptions): Directory {
  const every_ms = 'file' in config ? look_ms : config.refresh_ms;
  const closed = new AbortController();
  const where = 'file' in config ? config.file : new URL(config.url).origin;
  let membership: Membership | undefined;
  let generation = '';
  let stamp = '';
  let looked_ms = Number.NEGATIVE_INFINITY;
  let good_ms = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;

  /** Undefined where it is what it was. */
  const content = async (): Promise<string | undefined> => {
    if ('file' in config) {
      const { mtimeMs, ctimeMs, size, ino } = await stat(config.file);
      const found = `${mtimeMs} ${ctimeMs} ${size} ${ino}`;
      if (found === stamp) return undefined;
      if (size > content_bytes_max) throw new Error(`it has more than ${content_bytes_max} bytes`);
      const text = await readFile(config.file, 'utf8');
      stamp = found;
      return text;
    }
    const response = await fetcher(config.url, {
      redirect: 'error',
      headers: { accept: 'application/scim+json, application/json', ...authorization(config.token) },
      signal: AbortSignal.any([closed.signal, AbortSignal.timeout(answer_ms_max)]),
    });
    if (response.status !== 200) throw new Error(`it answered with status ${response.status}`);
    return boundedText(response, content_bytes_max);
  };
  const look = async (): Promise<void> => {
    looked_ms = now();
    try {
      const text = await content();
      const next = text === undefined ? generation : hash('sha256', text);
      if (text !== undefined && next !== generation) {
        membership = readDirectory(text);
        generation = next;
        log?.info({ directory: where }, 'identity: the groups changed');
      }
      good_ms = now();
    } catch (error) {
      stamp = '';
      log?.warn({ directory: where, why: (error as Error).message }, 'identity: the groups cannot be read');
    }
  };
  return {
    get generation() {
      return generation;
    },
    async refresh() {
      if (now() - looked_ms >= every_ms) looking ??= look().finally(() => (looking = undefined));
      await looking;
      if (membership === undefined || now() - good_ms > stale_ms_max)
        throw new IdentityError('directory', 'who is in which group cannot be had at the moment; try again later');
    },
    groupsOf: (subject) => (membership === undefined ? [] : groupsOf(membership, subject)),
    close: () => closed.abort(),
  };
}

const authorization = (token: string | undefined): Record<string, string> =>
  token === undefined ? {} : { authorization: `Bearer ${token}` };
