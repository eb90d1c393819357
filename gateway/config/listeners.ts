import { createSecureContext } from 'node:tls';
import type { ListenAddress } from '../protocol.js';
import { checkAuthorities, checkKept, renewal, whyNoContext } from './authority.js';
import { readBounds } from './bounds.js';
import type { KeyPath } from './document.js';
import type { Reading } from './load.js';
import { isLoopback } from './loopback.js';
import { absolute, readReference } from './references.js';
import type { ListenerInput } from './schema.js';

const port_max = 65_535;

/** The listeners of the protocols that are built, with their certificates and keys read and tried. */
export async function readListeners(
  input: Readonly<Record<string, ListenerInput>>,
  built: readonly string[],
  reading: Reading,
): Promise<Map<string, ListenAddress>> {
  const listen = new Map<string, ListenAddress>();
  const taken = new Map<string, string>();
  for (const [protocol, listener] of Object.entries(input)) {
    const plain = typeof listener === 'string';
    const path = ['listen', protocol, ...(plain ? [] : ['address'])];
    const { host, port } = splitAddress(plain ? listener : listener.address);
    if (port > port_max) {
      reading.problems.push(reading.document.problem(path, `there is no port ${port}; the highest is ${port_max}`));
      continue;
    }
    const other = port === 0 ? undefined : taken.get(`${host}:${port}`);
    if (other !== undefined) {
      reading.problems.push(reading.document.problem(path, `listen.${other} has the same address`));
    }
    taken.set(`${host}:${port}`, protocol);
    if (!built.includes(protocol)) continue;
    const tls =
      plain || listener.tls === undefined
        ? undefined
        : await readTls(listener.tls, ['listen', protocol, 'tls'], reading);
    // HTTPS and SSH are never in clear: without a certificate or key they make one for themselves.
    if (protocol !== 'https' && protocol !== 'ssh' && (plain || listener.tls === undefined)) {
      if (!isLoopback(host)) {
        reading.warnings.push(
          `listen.${protocol} has no tls: whoever connects to ${host} from another machine will be refused, because a token must not travel in clear`,
        );
      }
    }
    const hostKey =
      plain || listener.host_key === undefined ? undefined : await readHostKey(listener.host_key, protocol, reading);
    const hostAuthority =
      plain || listener.host_ca === undefined
        ? undefined
        : await readHostKey(listener.host_ca, protocol, reading, 'host_ca');
    const authority =
      plain || listener.authority === undefined
        ? undefined
        : await readAuthority(listener.authority, ['listen', protocol, 'authority'], reading);
    listen.set(protocol, {
      ...{ host, port },
      ...(tls && { tls }),
      ...(hostKey !== undefined && { hostKey }),
      ...(hostAuthority !== undefined && { hostAuthority }),
      ...(authority !== undefined && { authority }),
      ...(!plain && listener.bounds !== undefined && { bounds: readBounds(listener.bounds) }),
    });
  }
  return listen;
}

function splitAddress(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon);
  return { host: host.startsWith('[') ? host.slice(1, -1) : host, port: Number(address.slice(colon + 1)) };
}

async function readHostKey(
  { file }: { readonly file: string },
  protocol: string,
  { directory, document, problems }: Reading,
  name: 'host_key' | 'host_ca' = 'host_key',
): Promise<string | undefined> {
  try {
    const key = await readReference(absolute(directory, file));
    if (key.includes('PRIVATE KEY-----')) return `${key}\n`;
    throw new Error(
      'holds no private key ("-----BEGIN OPENSSH PRIVATE KEY-----"); make one with ssh-keygen -t ed25519',
    );
  } catch (error) {
    problems.push(document.problem(['listen', protocol, name, 'file'], (error as Error).message));
    return undefined;
  }
}

async function readTls(
  input: NonNullable<Exclude<ListenerInput, string>['tls']>,
  path: KeyPath,
  { directory, document, problems }: Reading,
): Promise<ListenAddress['tls']> {
  const read = async (part: 'certificate' | 'key' | 'client_authorities') => {
    try {
      return await readReference(absolute(directory, input[part]?.file ?? ''));
    } catch (error) {
      problems.push(document.problem([...path, part, 'file'], (error as Error).message));
      return undefined;
    }
  };
  const certificate = await read('certificate');
  const key = await read('key');
  if (certificate === undefined || key === undefined) return undefined;
  try {
    createSecureContext({ cert: certificate, key });
  } catch (error) {
    problems.push(document.keyProblem(path, `certificate and key cannot be used: ${whyNoContext(error)}`));
    return undefined;
  }
  if (input.client_authorities === undefined) return { certificate, key };
  const clientAuthorities = await read('client_authorities');
  if (clientAuthorities === undefined) return undefined;
  try {
    checkAuthorities(clientAuthorities);
  } catch (error) {
    problems.push(document.problem([...path, 'client_authorities', 'file'], (error as Error).message));
    return undefined;
  }
  return { certificate, key, clientAuthorities };
}

/** An authority with its key; replaced files are taken while the gateway runs. */
async function readAuthority(
  input: { readonly certificate: { readonly file: string }; readonly key: { readonly file: string } },
  path: KeyPath,
  reading: Reading,
): Promise<ListenAddress['authority']> {
  const found = await readTls(input, path, reading);
  if (found === undefined) return undefined;
  const { certificate, key } = found;
  const { directory, document, problems } = reading;
  const files = {
    certificate: absolute(directory, input.certificate.file),
    key: absolute(directory, input.key.file),
  };
  try {
    checkAuthorities(certificate);
  } catch (error) {
    problems.push(document.problem([...path, 'certificate', 'file'], (error as Error).message));
    return undefined;
  }
  try {
    await checkKept(files.key);
  } catch (error) {
    problems.push(document.problem([...path, 'key', 'file'], (error as Error).message));
    return undefined;
  }
  return { certificate, key, renewed: renewal(files, found) };
}
