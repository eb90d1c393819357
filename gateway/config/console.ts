import type { ConsoleConfig, IdentityConfig, Provider, SignInConfig } from './config.js';
import { isLoopback } from './loopback.js';
import type { Reading } from './load.js';
import { resolveFiles } from './references.js';
import type { ConfigFile } from './schema.js';

type Input = NonNullable<ConfigFile['console']>;

/** Reads the part about people: their roles, what they call the gateway, and how they sign in to its console. */
export async function readConsole(
  input: Input | undefined,
  beside: { readonly identity: IdentityConfig; readonly https: boolean },
  reading: Reading,
): Promise<ConsoleConfig> {
  const url = input?.url?.replace(/\/$/u, '');
  const signIn = input?.sign_in === undefined ? undefined : await readSignIn(input.sign_in, beside, reading);
  return {
    administrators: input?.administrators ?? [],
    auditors: input?.auditors ?? [],
    publishers: input?.publishers ?? [],
    ...(url === undefined ? {} : { url }),
    ...(input?.policy_link === undefined ? {} : { policy_link: input.policy_link }),
    ...(signIn === undefined ? {} : { sign_in: signIn }),
  };
}

async function readSignIn(
  input: NonNullable<Input['sign_in']>,
  { identity, https }: { readonly identity: IdentityConfig; readonly https: boolean },
  reading: Reading,
): Promise<SignInConfig | undefined> {
  const refuse = (key: string, message: string) => {
    const path = ['console', 'sign_in', ...(key in input ? [key] : [])];
    reading.problems.push(reading.document.problem(path, message));
    return undefined;
  };
  if (!https) return refuse('', 'the console is served at listen.https, which is not there');
  const provider = providerOf(input.provider, identity.providers);
  if (typeof provider === 'string') return refuse('provider', provider);
  if (!isDiscoverable(provider.issuer))
    return refuse(
      'provider',
      `its issuer must be https:// (http:// only on loopback): people are sent there to sign in`,
    );
  const { value, unavailable } = await resolveFiles(input.client_secret, reading.directory);
  if (unavailable !== undefined) return refuse('client_secret', unavailable);
  return {
    provider,
    client_id: input.client_id,
    ...(typeof value === 'string' ? { client_secret: value } : {}),
    scopes: [...new Set(['openid', ...(input.scopes ?? [])])],
  };
}

/** A string: what is wrong. */
function providerOf(name: string | undefined, providers: readonly Provider[]): Provider | string {
  if (name === undefined) {
    const [only, ...others] = providers;
    if (only !== undefined && others.length === 0) return only;
    return `say which: ${providers.map((provider) => provider.name).join(', ')}`;
  }
  const found = providers.find((provider) => provider.name === name);
  return found ?? `there is no provider "${name}"; there is ${providers.map((provider) => provider.name).join(', ')}`;
}

function isDiscoverable(issuer: string): boolean {
  const { protocol, hostname } = new URL(issuer);
  return protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/gu, ''));
}
