import { createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type Build,
  BundleError,
  bundleFiles,
  type BundleSigner,
  type Compiler,
  packBundle,
  readBundle,
  signedFiles,
  type Snapshot,
} from '../../bundles/index.js';
import { ConfigError } from '../errors.js';
import { exit, type ExitCode } from './exit.js';
import { describeBuild, judged, summary } from './judging.js';
import { type CommonOptions, type Io, mark, resolveHere, tell } from './telling.js';

export interface BuildOptions extends CommonOptions {
  /** A folder, or a file that ends in .tar.gz or .tgz. Default: policy.tar.gz */
  readonly output?: string;
  /** What the bundle calls itself. Default: the digest of its policy. */
  readonly revision?: string;
  /** A file with the private key, PEM: an argument itself could be read by everybody on the machine. */
  readonly signingKey?: string;
  readonly signingAlg?: BundleSigner['algorithm'];
  readonly signingKeyId?: string;
  readonly scope?: string;
}

/** Checks, tests and builds, and writes a bundle for gateways and for plain OPA: the same bytes for the same policy. */
export function buildCommand(dir: string, options: BuildOptions = {}, io: Io = process): Promise<ExitCode> {
  return judged(options, io, async (compiler, source) => {
    const signer = await signerOf(options, io);
    const snapshot = await source.read();
    const built = await compiler.build(snapshot);
    const revision = options.revision ?? snapshot.digest;
    const unsigned = bundleFiles(built, revision);
    const files = signer === undefined ? unsigned : await signedFiles(unsigned, signer);
    const archive = packBundle(files);
    if (isFilled(snapshot, built)) await demandTested(compiler, archive);
    const output = resolveHere(options.output ?? 'policy.tar.gz', io.env, false);
    await (/\.(tar\.gz|tgz)$/.test(output) ? writeWhole(output, archive) : writeFolder(output, files));
    tell(
      io,
      options,
      { ...summary(built), revision, signed: signer !== undefined, output },
      () => `${mark(io, true)} ${describeBuild(built)}\n  ${revision}${signer ? ', signed' : ''} → ${output}`,
    );
    return exit.done;
  })(dir);
}

/** Whether codes of METADATA were written into rules, so that they are not what the tests were run on. */
const isFilled = ({ files }: Snapshot, { rego }: Build): boolean =>
  [...files].some(
    ([name, content]) => name.endsWith('.rego') && !Buffer.from(content).equals(rego.get(name) ?? content),
  );

/** The tests once more, over what a gateway would read: a test may not have thought of the codes. */
async function demandTested(compiler: Compiler, archive: Buffer): Promise<void> {
  const { builder } = await readBundle(archive, undefined);
  const { problems } = await compiler.test(builder.finish({}));
  if (problems.length === 0) return;
  const help = 'It passes without the code that METADATA gives the rule: let the test expect "code", too.';
  throw new BundleError(problems.map((problem) => ({ ...problem, help })));
}

async function signerOf(options: BuildOptions, io: Io): Promise<BundleSigner | undefined> {
  const { signingKey, signingAlg = 'RS256', signingKeyId, scope } = options;
  if (signingKey !== undefined)
    return { key: await privateKeyIn(signingKey, io), algorithm: signingAlg, id: signingKeyId, scope };
  if (signingKeyId === undefined && scope === undefined) return undefined;
  throw new ConfigError('--signing-key-id and --scope are of a signature: name its key with --signing-key FILE');
}

async function privateKeyIn(file: string, io: Io): Promise<KeyObject> {
  if (file.includes('PRIVATE KEY'))
    throw new ConfigError(
      '--signing-key is the name of a file: a key among the arguments can be read by everybody here',
    );
  const found = resolveHere(file, io.env, true);
  const pem = await readFile(found).catch((error: unknown) => {
    throw new ConfigError(`the signing key ${found} cannot be read: ${(error as Error).message}`, { cause: error });
  });
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new ConfigError(`${found} is no private key in PEM without a passphrase`, { cause: error });
  }
}

/** A rule that an earlier build left there would be loaded with the others. */
async function writeFolder(folder: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const found = await readdir(folder).catch(() => []);
  if (found.length > 0)
    throw new ConfigError(`${folder} is not empty: name a new folder, or a file that ends in .tar.gz`);
  for (const [name, content] of files) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), content);
  }
}

/** Whoever serves the file serves the old one or the new one. */
async function writeWhole(file: string, content: Uint8Array): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  const scratch = `${file}.${process.pid}.new`;
  try {
    await writeFile(scratch, content);
    await rename(scratch, file);
  } finally {
    await rm(scratch, { force: true });
  }
}
