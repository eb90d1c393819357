import { createHash, generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import type { Command } from 'commander';
import { ConfigError, ProtocolError } from '../../errors.js';
import { certificateType, ed25519, parseCertificate, privateKeyFile, publicKeyOf } from '../../openssh/index.js';
import { exit, type ExitCode } from '../exit.js';
import { readPrivate, stateFolder, writePrivate } from '../login/folder.js';
import type { Surroundings } from '../surroundings.js';
import { gatewayAddress, withGateway, type GatewayFlags } from './address.js';
import { ask, type Asking } from './ask.js';

const examples = `
The key is made here, at first use, and never leaves the machine. A certificate that is still good is left as it is; where it ends within
a minute, or something is asked for that it may not have, another is got.

Examples:
  sallyport ssh-cert build
  sallyport ssh-cert build --purpose "month-end report" --lifetime 900
  sallyport env build --format ssh_config >> ~/.ssh/config     has ssh do this by itself`;

type CertFlags = GatewayFlags & {
  readonly purpose?: string;
  readonly lifetime?: string;
  readonly source?: readonly string[];
  readonly force?: boolean;
};

interface Issued {
  readonly certificate: string;
  readonly id: string;
  /** As RFC 3339 has it. */
  readonly expires: string;
}

/** A certificate that ends so soon is not worth beginning with. */
const soon_s = 60;

/** Adds ssh-cert to the command line. */
export function registerSshCert(program: Command, around: Surroundings, finish: (code: ExitCode) => void): void {
  withGateway(program.command('ssh-cert').description('a short-lived certificate with which ssh signs in at a target'))
    .argument('<target>', 'its name')
    .option('--purpose <text>', 'what the work is for, where your token does not say')
    .option('--lifetime <seconds>', 'how long it shall live (default: 3600); never longer than your token')
    .option('--source <address...>', 'addresses or networks (192.0.2.0/24) that it may be used from; default: any')
    .option('--force', 'another one, also where there is one that is good')
    .addHelpText('after', examples)
    .action(async (target: string, flags: CertFlags) => finish(await sshCert(target, flags, around)));
}

async function sshCert(target: string, flags: CertFlags, around: Surroundings): Promise<ExitCode> {
  const { url } = await gatewayAddress(flags, around);
  const files = certificateFiles(url, target, around);
  const publicKey = await keyIn(files.key);
  const asked = flags.force === true || [flags.purpose, flags.lifetime, flags.source].some((one) => one !== undefined);
  if (!asked && (await isGood(files.certificate, publicKey))) {
    around.stdout.write(
      flags.json === true
        ? `${JSON.stringify({ file: files.certificate, key: files.key })}\n`
        : `${files.certificate}\n`,
    );
    return exit.done;
  }
  return ask(flags, around, (asking) => renew(target, flags, { ...files, publicKey }, asking));
}

async function renew(
  target: string,
  { purpose, lifetime, source }: CertFlags,
  { key, certificate, publicKey }: CertificateFiles & { readonly publicKey: Buffer },
  { api, tell }: Asking,
): Promise<ExitCode> {
  const lifetime_s = lifetime === undefined ? undefined : Number(lifetime);
  if (lifetime_s !== undefined && !(Number.isInteger(lifetime_s) && lifetime_s > 0))
    throw new ConfigError('--lifetime is a number of seconds');
  const issued = await api.post<Issued>('/v1/ssh-certificates', {
    ...{ target, purpose, lifetime_s },
    public_key: `${ed25519} ${publicKey.toString('base64')}`,
    source_addresses: source,
  });
  if (certificateIn(issued.certificate)?.keyBlob.equals(publicKey) !== true)
    throw new ConfigError('the gateway sent no certificate for this key');
  await writePrivate(certificate, issued.certificate);
  tell({ ...issued, file: certificate, key }, () => `${certificate}\nuntil ${issued.expires}\n`);
  return exit.done;
}

interface CertificateFiles {
  /** For IdentityFile and CertificateFile. */
  readonly key: string;
  readonly certificate: string;
}

/** Where key and certificate of a target stand; the key is the same for all targets of a gateway. */
export function certificateFiles(gateway: string, target: string, { env }: Surroundings): CertificateFiles {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/u.test(target)) throw new ConfigError(`"${target}" is no name of a target`);
  const name = createHash('sha256').update(gateway).digest('hex').slice(0, 24);
  const folder = join(stateFolder('ssh', env), name);
  return { key: join(folder, 'id_ed25519'), certificate: join(folder, `${target}-cert.pub`) };
}

/** The public half of the key that is kept; where there is none, one is made. */
async function keyIn(file: string): Promise<Buffer> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const text = await readPrivate(file);
    const found = text === undefined ? undefined : publicKeyOf(text);
    if (found !== undefined) return found;
    if (text !== undefined) throw new ConfigError(`${file} holds no key as this program makes it: remove it`);
    await writePrivate(file, privateKeyFile(generateKeyPairSync('ed25519').privateKey, 'sallyport'));
  }
  throw new ConfigError(`${file} cannot be read back`);
}

/** Whether it is for this key, and does not end at once. Whether the gateway still takes it is for the gateway to say. */
async function isGood(file: string, publicKey: Buffer): Promise<boolean> {
  const kept = certificateIn((await readPrivate(file)) ?? '');
  return kept !== undefined && kept.keyBlob.equals(publicKey) && kept.before_s > Date.now() / 1000 + soon_s;
}

function certificateIn(line: string): ReturnType<typeof parseCertificate> | undefined {
  const [type, base64 = ''] = line.split(' ');
  if (type !== certificateType) return undefined;
  try {
    return parseCertificate(Buffer.from(base64, 'base64'));
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}
