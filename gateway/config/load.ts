import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { ErrorObject } from 'ajv';
import { ConfigError } from '../errors.js';
import type { ListenAddress, Protocol, Target } from '../protocol.js';
import { readAudit } from './audit.js';
import type { Config } from './config.js';
import { ConfigDocument, printPath, type KeyPath, type Problem } from './document.js';
import { readConsole } from './console.js';
import { readIdentity } from './identity.js';
import { readListeners } from './listeners.js';
import { readPolicy } from './policy.js';
import { readRecordings } from './recordings.js';
import { guard, printable, secretKey } from './printable.js';
import { pathKey, resolveFiles, substitute, whyUnreadable, type Substituted } from './references.js';
import { configSchema, maskKey_chars_min, type ConfigFile } from './schema.js';
import { readApprovals, readState } from './state.js';
import { readTargets } from './targets.js';
import { secretsOf } from './secrets.js';
import { explain, errorPath, readNumbers, validator } from './validate.js';
import { readVault } from './vault.js';

/** A configuration file may have at most this many bytes. */
const file_bytes_max = 4_194_304;

/**
 * What the parts of the loader share: where they are, and a list of everything that is wrong, so that a person reads
 * all of it at once.
 */
export interface Reading {
  readonly file: string;
  readonly directory: string;
  readonly document: ConfigDocument;
  readonly problems: Problem[];
  readonly warnings: string[];
}

/**
 * Reads and checks sallyport.yaml.
 *
 * A secret or file that only one target needs makes that target unavailable; everything else that is wrong is a
 * ConfigError that lists every problem as `file:line:column: key: what and what to do`. Parts for protocols that are
 * not in `protocols` are left out and named in one warning.
 */
export async function loadConfig(
  file: string,
  options: { readonly env: NodeJS.ProcessEnv; readonly protocols: readonly Protocol[] },
): Promise<Config> {
  const path = resolve(file);
  const document = new ConfigDocument(await readSource(path));
  refuseProblems(path, document.problems);

  const references = substitute(document.value ?? {}, options.env);
  const value = references.value;
  const check = checkFor(options.protocols);
  let errors = check(value);
  if (readNumbers(value, errors, references.substituted)) errors = check(value);

  const reading: Reading = { file: path, directory: dirname(path), document, problems: [], warnings: [] };
  reading.problems.push(
    ...referenceProblems(references, document),
    ...schemaProblems(errors, value, references, document),
  );
  refuseProblems(path, reading.problems);

  const input = value as ConfigFile;
  const names = options.protocols.map(({ name }) => name);
  const named = options.protocols.flatMap(({ listeners = {} }) => Object.keys(listeners));
  const listen = await readListeners(input.listen ?? {}, [...names, ...named, 'https'], reading);
  const identity = await readIdentity(input.identity, calledUrl(input, listen), reading);
  if (identity.mtls !== undefined && ![...listen.values()].some(({ tls }) => tls?.clientAuthorities !== undefined))
    reading.problems.push(
      document.keyProblem(['identity', 'mtls'], 'no listener asks for certificates: give one tls.client_authorities'),
    );
  const policy = await readPolicy(input.policy, reading);
  const vault = await readVault(input.vault, reading);
  const targets = await readTargets(input.targets ?? [], options.protocols, references, reading);
  if (vault === undefined) reading.problems.push(...withoutVault(targets, document));
  const state = await readState(input.state, reading);
  const audit = await readAudit(input.audit, state.directory, reading);
  const masks = await readMasks(input.masks, reading);
  const recordings = readRecordings(input.recordings, reading.directory);
  const approvals = await readApprovals(input.approvals, identity.providers, reading);
  const people = await readConsole(input.console, { identity, https: listen.has('https') }, reading);
  refuseProblems(path, reading.problems);

  const later = leftOut(input, [...names, ...named, 'https']);
  if (later !== undefined) reading.warnings.push(later);
  if (state.postgres !== undefined && identity.ownTokens.keys === undefined) reading.warnings.push(unsharedKeys);
  reading.warnings.push(...lonely(listen, targets, options.protocols));
  const config: Config = {
    file: path,
    directory: reading.directory,
    listen,
    identity,
    policy,
    targets,
    ...(vault === undefined ? {} : { vault }),
    secrets: secretsOf(document),
    state,
    approvals,
    audit,
    console: people,
    masks,
    ...(recordings === undefined ? {} : { recordings }),
    warnings: reading.warnings,
  };
  return guard(config, () => printable(config));
}

type Check = ReturnType<typeof validator>;
const checks = new WeakMap<readonly Protocol[], Check>();

/** Compiling it takes longer than all the rest: once for each list of protocols. */
function checkFor(protocols: readonly Protocol[]): Check {
  const known = checks.get(protocols);
  if (known !== undefined) return known;
  const check = validator(configSchema(protocols));
  checks.set(protocols, check);
  return check;
}

async function readSource(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > file_bytes_max)
      throw new ConfigError(`${path} has more than ${file_bytes_max} bytes: is it the right file?`);
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(`the configuration file ${path} ${whyUnreadable(error)}; name one with --config`, {
      cause: error,
    });
  }
}

function refuseProblems(file: string, problems: readonly Problem[]): void {
  if (problems.length === 0) return;
  const lines = [...problems]
    .sort((a, b) => a.line - b.line || a.column - b.column)
    .map(({ path, message, line, column }) => {
      const key = path.length === 0 ? '' : `${printPath(path)}: `;
      return `${file}:${line}:${column}: ${key}${message}`;
    });
  throw new ConfigError([...new Set(lines)].join('\n'));
}

/** Whether the path leads into the upstream of a target, where a missing secret is no reason not to start. */
const inUpstream = (path: KeyPath) => path[0] === 'targets' && path[2] === 'upstream';

function referenceProblems({ missing, malformed }: Substituted, document: ConfigDocument): Problem[] {
  return [
    ...malformed.map((path) =>
      document.problem(
        path,
        `has a "\${" that starts no \${NAME}; write $\${ where the two characters themselves are meant`,
      ),
    ),
    ...missing
      .filter(({ path }) => !inUpstream(path))
      .map(({ path, name }) => document.problem(path, `the environment variable ${name} is not set, or empty`)),
  ];
}

function schemaProblems(
  errors: readonly ErrorObject[],
  value: unknown,
  references: Substituted,
  document: ConfigDocument,
): Problem[] {
  const missing = new Set(references.missing.map(({ path }) => pathKey(path)));
  const quotable = (path: KeyPath) =>
    !references.substituted.has(pathKey(path)) && !path.some((step) => secretKey.test(String(step)));
  return errors
    .filter((error) => !missing.has(pathKey(errorPath(error, value))))
    .map((error) => later(error, value, document) ?? explain(error, value, document, quotable));
}

/** Keys that the design has and this version has not: ignoring them would promise what is not kept. */
function later(error: ErrorObject, value: unknown, document: ConfigDocument): Problem | undefined {
  if (error.keyword !== 'additionalProperties') return undefined;
  const path = [...errorPath(error, value), error.params.additionalProperty as string];
  switch (printPath(path)) {
    case 'policy.signing':
      return document.keyProblem(
        path,
        Object.hasOwn((value as { policy: object }).policy, 'bundle')
          ? "a bundle's keys stand in policy.bundle.signing"
          : 'a folder has no signatures; take the policy from git, or remove the key',
      );
    default:
      return undefined;
  }
}

/** `{vault: …}` with nowhere to lead. */
function withoutVault(targets: Config['targets'], document: ConfigDocument): Problem[] {
  const asked = targets.flatMap(({ form }) => form?.references ?? []).filter(({ to }) => to.kind === 'vault');
  return asked.map(({ path }) => document.problem(path, 'asks Vault, and there is no "vault" at the top of the file'));
}

async function readMasks(
  input: ConfigFile['masks'],
  { directory, document, problems }: Reading,
): Promise<Config['masks']> {
  if (input?.key === undefined) return {};
  const { value, unavailable } = await resolveFiles(input.key, directory);
  const key = typeof value === 'string' ? value : '';
  const wrong =
    unavailable ??
    (key.length < maskKey_chars_min
      ? `has fewer than ${maskKey_chars_min} characters, and could be guessed; make one with: openssl rand -hex 32`
      : undefined);
  if (wrong !== undefined) problems.push(document.problem(['masks', 'key'], wrong));
  return { key };
}

/** Where the gateway is called from outside, as far as the file says. */
function calledUrl({ console: people }: ConfigFile, listen: ReadonlyMap<string, ListenAddress>): string {
  if (people?.url !== undefined) return people.url.replace(/\/$/u, '');
  const { host, port } = listen.get('https') ?? { host: 'localhost', port: 443 };
  const name = host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return `https://${name}:${String(port)}`;
}

/** Each of them would make keys for itself. */
const unsharedKeys =
  'state.postgres is shared, but identity.own_tokens.keys is not given: a ticket or token that this gateway issues is refused by its replicas';

/** One line that names what the file has and this version does not serve. */
function leftOut(input: ConfigFile, built: readonly string[]): string | undefined {
  const listeners = Object.keys(input.listen ?? {}).filter((name) => !built.includes(name));
  const targets = (input.targets ?? []).filter(({ protocol }) => !built.includes(protocol));
  const parts = [
    listeners.length > 0 ? `listeners ${listeners.join(', ')}` : '',
    targets.length > 0 ? `targets ${targets.map(({ name, protocol }) => `${name} (${protocol})`).join(', ')}` : '',
  ].filter((part) => part !== '');
  return parts.length === 0 ? undefined : `not supported yet, left out: ${parts.join('; ')}`;
}

/** Targets that no listener leads to, and the other way round. */
function lonely(
  listen: ReadonlyMap<string, ListenAddress>,
  targets: readonly Target[],
  protocols: readonly Protocol[],
): string[] {
  const spoken = new Set(targets.map(({ input }) => input.protocol));
  const mounted = new Set(protocols.filter((protocol) => protocol.mount !== undefined).map(({ name }) => name));
  const listener = (protocol: string) => (mounted.has(protocol) ? 'https' : protocol);
  const further = new Map(protocols.map(({ name, listeners = {} }) => [name, Object.keys(listeners)]));
  const owner = (listening: string) =>
    protocols.find(({ name }) => further.get(name)?.includes(listening) === true)?.name ?? listening;
  return [
    ...[...spoken]
      .filter(
        (protocol) =>
          ![listener(protocol), protocol, ...(further.get(protocol) ?? [])].some((name) => listen.has(name)),
      )
      .map(
        (protocol) =>
          `there are ${protocol} targets, but listen.${listener(protocol)} is missing: nobody can reach them`,
      ),
    ...[...listen.keys()]
      .filter((name) => name !== 'https' && !spoken.has(owner(name)))
      .map((name) => `listen.${name} leads nowhere: there is no ${owner(name)} target`),
  ];
}
