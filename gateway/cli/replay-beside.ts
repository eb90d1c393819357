import path from 'node:path';
import type { Layer } from '#engine';
import {
  baseFolder,
  BundleError,
  BundleStore,
  type Compiler,
  describeProblem,
  GitSource,
  openSource,
  policyFolder,
  readStatus,
  type Snapshot,
  type SourceOptions,
} from '../../bundles/index.js';
import type { Config } from '../config/index.js';
import { ConfigError } from '../errors.js';
import { namedBase } from '../layers.js';
import type { Standing } from '../replay/judge.js';
import type { Companion } from '../replay/report.js';

/**
 * What the two revisions of a replay are judged together with: the organisation's base, where they are a team's; or a
 * team's policy, where they are the base's. It is the same for both revisions.
 */
export interface Beside extends Companion {
  /** Compiled when it is asked for, unless it lies compiled on disk. Throws BundleError. */
  layer(): Promise<Layer>;
}

export interface BesideOptions {
  /** A folder; true: the one of the configuration; false: none, whatever the configuration says. */
  readonly base?: string | boolean | undefined;
  /** The same for the team's policy: the two commits are the base's. */
  readonly team?: string | true | undefined;
  /** The commit of its repository that is meant. */
  readonly at?: string | undefined;
  /** The folder inside that repository. */
  readonly atPath?: string | undefined;
}

type Compile = (snapshot: Snapshot) => ReturnType<Compiler['check']>;

/** Undefined where there is nothing beside them. Throws ConfigError for options that do not go together, BundleError where it cannot be read. */
export async function findBeside(
  options: BesideOptions,
  config: Config | undefined,
  compile: Compile,
): Promise<Beside | undefined> {
  const { base, team, at, atPath } = options;
  if (team !== undefined && base !== undefined)
    throw new ConfigError('--base says that the commits are a team\'s, and --team that they are the base\'s: give one'); // prettier-ignore
  const role = team === undefined ? 'base' : 'team';
  const named = team ?? base;
  if (named === false) return undefined;
  if (typeof named === 'string') return compiled(role, await namedSnapshot(named, options), named, compile);
  const configured = role === 'base' ? config?.policy.base : config?.policy;
  if (configured !== undefined) return fromConfig(role, configured, config!.state.directory, options, compile);
  if (named === true)
    throw new ConfigError(`no ${role === 'base' ? 'policy.base is' : 'policy is'} known: name a folder with --${role}, or the configuration with -c`); // prettier-ignore
  if (at !== undefined || atPath !== undefined)
    throw new ConfigError('--at and --at-path say where in the history --base or --team is meant: give one of these');
  return undefined;
}

/** A base beneath itself would look as if nothing that it changes had any effect. */
export function demandOther(commits: readonly Snapshot[], beside: Beside | undefined): void {
  if (beside?.role !== 'base' || !commits.some(({ revision }) => revision === beside.revision)) return;
  throw new ConfigError(
    `${beside.revision} is a commit of the base itself: --team says that A..B are the base's, --no-base that they stand alone`,
  );
}

/** Both layers as the gateway puts them together, the base first; `id` as records name it. */
export function standing({ revision }: Snapshot, layer: Layer, beside: Companion | undefined, other?: Layer): Standing {
  if (beside === undefined || other === undefined) return { id: revision, layers: [layer] };
  return beside.role === 'base'
    ? { id: `${beside.revision}+${revision}`, layers: [namedBase(other), layer] }
    : { id: `${revision}+${beside.revision}`, layers: [namedBase(layer), other] };
}

const namedSnapshot = (folder: string, { at, atPath }: BesideOptions): Promise<Snapshot> => {
  if (at === undefined) return openSource({ directory: path.resolve(folder, atPath ?? '.') }).read();
  return new GitSource({ repository: path.resolve(folder), branch: 'HEAD', path: atPath ?? '.' }).at(at);
};

/** The one in force, where a gateway has left one in the state directory: it may be pinned, or behind its source. */
async function fromConfig(
  role: Beside['role'],
  configured: SourceOptions,
  state: string,
  { at }: BesideOptions,
  compile: Compile,
): Promise<Beside> {
  const folder = role === 'base' ? baseFolder(state) : policyFolder(state);
  if (at === undefined) {
    const revision = (await readStatus(folder))?.revision;
    const stored = revision === undefined ? undefined : await new BundleStore(folder).load(revision);
    if (stored !== undefined)
      return { role, revision: stored.revision, from: 'in force', layer: () => Promise.resolve(stored.layer) };
  }
  const source = openSource(configured, folder);
  if (at !== undefined && !(source instanceof GitSource))
    throw new ConfigError(`--at needs a git repository on this machine, and the ${role} is ${source.description}: name a clone with --${role}`); // prettier-ignore
  const snapshot = at !== undefined && source instanceof GitSource ? await source.at(at) : await source.read();
  return compiled(role, snapshot, source.description, compile);
}

/** What is wrong with it is told with whose it is in front: it is not in the repository that was asked about. */
function compiled(role: Beside['role'], snapshot: Snapshot, from: string, compile: Compile): Beside {
  const layer = async () => {
    try {
      return (await compile(snapshot)).layer;
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      const told = error.problems.map((problem) => ({ ...problem, message: `in the ${role}: ${problem.message}` }));
      throw new BundleError(told, { cause: error });
    }
  };
  return { role, revision: snapshot.revision, from, layer };
}

export const describeAll = ({ problems }: BundleError): string =>
  problems.map((problem) => `sallyport: ${describeProblem(problem)}\n`).join('');
