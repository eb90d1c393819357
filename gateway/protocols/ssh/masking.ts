import { parametersProblem, patternKinds, type Decision, type Operation, type PatternKind } from '#engine';
import { allKinds, kindsOf, maskText, noKinds, type Kinds } from '../../content/index.js';
import type { SshOperation } from './schema.js';

/**
 * What is looked for in what comes back: masks on `*`, on a kind of request (`exec`, `shell`, `subsystem`, `sftp`), and on
 * something that the operation touches, by its name (`/srv/customers.csv`).
 */

/** A mask that cannot be put in force: the operation is refused. */
export class MaskRefusal extends Error {}

/** @throws {MaskRefusal} where a mask names this operation and cannot be put in force. */
export function contentOf(decision: Decision, operation: Operation): Kinds {
  const kinds = namedIn(decision, operation);
  const own = operation['ssh'] as SshOperation;
  if (kinds === noKinds || returnsNothing(own)) return noKinds;
  const wrong = whyUnmaskable(own);
  if (wrong !== undefined) throw new MaskRefusal(`policy masks what comes back, and ${wrong}`);
  return kinds;
}

/**
 * What the masks that name this operation look for, whether anything comes back of it or not.
 *
 * @throws {MaskRefusal} where one of them cannot be put in force.
 */
export function namedIn({ masks }: Decision, operation: Operation): Kinds {
  const own = operation['ssh'] as SshOperation;
  // What a shell shows is what its lines show.
  const entered = own.entered === undefined ? [] : [own.entered];
  const names = new Set(['*', own.request, ...entered, ...operation.resources.map(({ name }) => name)]);
  return masks.filter(({ resource }) => names.has(resource)).reduce((all, mask) => all | kindsOfMask(mask), noKinds);
}

function kindsOfMask({ resource, with: name, parameters = {}, code }: Decision['masks'][number]): Kinds {
  const wrong = name === 'pattern' ? parametersProblem(name, parameters) : `"${name}" needs a column: output has none`;
  if (wrong !== undefined) throw new MaskRefusal(`the mask ${code} on "${resource}": ${wrong}`);
  const named = parameters['kinds'] as readonly PatternKind[] | undefined;
  return named === undefined ? allKinds : kindsOf(named.filter((kind) => patternKinds.includes(kind)));
}

/** Of what is only opened, looked at or changed, no contents come back. */
function returnsNothing({ request, subsystem, sftp }: SshOperation): boolean {
  if (request === 'connect') return true;
  if (request === 'subsystem') return subsystem === 'sftp';
  return request === 'sftp' && !(sftp?.operation === 'open' && (sftp.flags ?? []).includes('read'));
}

/** Bytes whose number is told before they come, or that nobody looks at. */
function whyUnmaskable({ request, commands = [] }: SshOperation): string | undefined {
  if (request === 'forward' || request === 'ssh_agent') return 'what goes through a forwarding is not looked at';
  if (request === 'sftp')
    return 'a file that is read over SFTP keeps its length: print it with a command (ssh HOST cat FILE)';
  const copies = commands.some(({ argv: [program = '', ...words] }) => isScp(program) && words.some(sends));
  return copies ? 'a file that scp reads keeps its length: print it with a command (ssh HOST cat FILE)' : undefined;
}

const isScp = (program: string) => program === 'scp' || program.endsWith('/scp');
/** The option by which scp sends files: -f, among others. */
const sends = (word: string) => /^-[a-zA-Z]*f/u.test(word);

/** What a record may have of an operation under such masks: everything, as the client would get it. */
export function withhold(own: unknown): Readonly<Record<string, unknown>> {
  return { ...(masked(own) as object), withheld: true };
}

function masked(value: unknown): unknown {
  if (typeof value === 'string') return maskText(value, { kinds: allKinds, numbers: false });
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, masked(one)]));
}
