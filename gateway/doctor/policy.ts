import {
  baseFolder,
  BundleError,
  Compiler,
  describeProblem,
  findOpa,
  openSource,
  policyFolder,
  type Problem,
  readStatus,
} from '../../bundles/index.js';
import type { Config, PolicySource } from '../config/index.js';
import { dataChecks, filterChecks } from '../registry.js';
import { fail, type Finding, messageOf, ok, warn } from './finding.js';

/** Whether the policy can be read, and would come into force; and how it stands with the gateway that runs, if one does. */
export async function policyFindings(config: Config, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const { base } = config.policy;
  const folder = policyFolder(config.state.directory);
  const own = await findingsOf('policy', config.policy, folder, config, env);
  if (base === undefined) return own;
  return [...(await findingsOf('policy base', base, baseFolder(config.state.directory), config, env)), ...own];
}

async function findingsOf(
  check: string,
  from: PolicySource,
  folder: string,
  config: Config,
  env: NodeJS.ProcessEnv,
): Promise<Finding[]> {
  const standing = await inForce(`${check} in force`, folder);
  try {
    const source = openSource(from, policyFolder(config.state.directory));
    const snapshot = await source.read();
    const targets = config.targets.map(({ input }) => input.name);
    const compiler = await Compiler.create({
      opa: () => findOpa({ env }),
      filters: filterChecks,
      data: dataChecks,
      targets,
    });
    const { layer, tests, warnings } = await compiler.build(snapshot);
    const advice = (await compiler.advise(snapshot, layer)).filter(({ code }) => looked.has(code));
    const unspoken = [...new Set(config.targets.map(({ input }) => input.protocol))].filter(
      (name) => !layer.manifest.packages.includes(name) && !layer.manifest.packages.includes('all'),
    );
    return [
      ok(check, `${snapshot.revision} from ${source.description}: ${layer.manifest.rules.length} rules`),
      tests.passed === 0
        ? warn(`${check} tests`, 'it has none', 'Write one for each rule: sallyport check names those without.')
        : ok(`${check} tests`, `${tests.passed} passed`),
      ...warnings.map((one) => warn(check, describeProblem(one), one.help ?? 'docs/policy.md says more.')),
      ...(advice.length === 0
        ? [
            ok(
              `${check} coverage`,
              'each action at each target has a rule that answers for it, and no allow is for everybody or everything',
            ),
          ]
        : advice.map((one) => warn(`${check} coverage`, placed(one), one.help ?? 'sallyport check says more.'))),
      ...unspoken.map((name) =>
        warn(check, `says nothing of ${name}: everything there is refused`, `Write rules in package policy.${name}.`),
      ),
      ...standing,
    ];
  } catch (error) {
    const message = error instanceof BundleError ? error.problems.map((one) => describeProblem(one)).join('\n') : messageOf(error); // prettier-ignore
    return [fail(check, message, 'Mend it: until then the last good revision stays in force, and a first start fails.'), ...standing]; // prettier-ignore
  }
}

/** Of what `sallyport check` advises, what is about who may do what where; the rest is for whoever writes the rules. */
const looked: ReadonlySet<string> = new Set(['uncovered', 'wide_allow', 'never_fires', 'trial_failed']);

const placed = ({ file, line, message }: Problem): string =>
  file === undefined ? message : `${file}${line === undefined ? '' : `:${line}`}: ${message}`;

async function inForce(check: string, folder: string): Promise<Finding[]> {
  const status = await readStatus(folder).catch(() => undefined);
  if (status === undefined) return [];
  const { revision = 'nothing', pinned, last, restored } = status;
  if (last?.ok === false)
    return [warn(check, `${revision}; the last change was refused: ${last.error ?? ''}`, 'sallyport policy status says more.')]; // prettier-ignore
  if (pinned !== undefined)
    return [warn(check, `${revision}, ${pinned.how.replace('_', ' ')} at ${pinned.at}`, 'Commit what shall hold, or sallyport policy unpin.')]; // prettier-ignore
  return [restored ? warn(check, `${revision}, from disk`, 'Its source could not be built.') : ok(check, revision)];
}
