import type { Claims, IdentityConfig, LoginConfig, MtlsConfig, Provider, SamlProvider } from './config.js';
import type { KeyPath } from './document.js';
import { duration } from './duration.js';
import { isLoopback } from './loopback.js';
import type { Reading } from './load.js';
import { absolute, readReference, resolveFiles } from './references.js';
import type { IdentityInput, ProviderInput } from './identity-schema.js';

const lifetimeDefault_ms = 3_600_000;
const skewDefault_ms = 30_000;
/** A larger difference between two clocks is a fault to repair, not to tolerate. */
const skew_ms_max = 300_000;

/** Reads the identity part; key files must be readable now, because without them nobody could sign in. */
export async function readIdentity(input: IdentityInput, url: string, reading: Reading): Promise<IdentityConfig> {
  const { document, problems } = reading;
  const providers: Provider[] = [];
  for (const [index, provider] of input.providers.entries()) {
    const path = ['identity', 'providers', index];
    if (providers.some(({ name }) => name === provider.name)) {
      problems.push(document.problem([...path, 'name'], 'another provider has the same name'));
    }
    if (providers.some(({ issuer }) => issuer === provider.issuer)) {
      problems.push(
        document.problem([...path, 'issuer'], 'another provider has the same issuer; give one provider all audiences'),
      );
    }
    providers.push(await readProvider(provider, path, reading));
  }
  const lifetime_ms = read_ms(input.token_lifetime_max, lifetimeDefault_ms);
  if (lifetime_ms <= 0)
    problems.push(document.problem(['identity', 'token_lifetime_max'], 'must be longer than nothing'));
  const skew_ms = read_ms(input.clock_skew, skewDefault_ms);
  if (skew_ms > skew_ms_max) {
    problems.push(document.problem(['identity', 'clock_skew'], 'must be at most 5m; set the clocks right instead'));
  }
  const ownTokens = await readOwn(input.own_tokens, url, reading);
  return {
    providers,
    tokenLifetimeMax_ms: lifetime_ms,
    clockSkew_ms: skew_ms,
    revocationStrict: input.revocation === 'strict',
    ownTokens,
    saml: await readSaml(input, ownTokens.issuer, reading),
    ...(await readMtls(input.mtls, reading)),
    ...readLogin(input.login, providers, reading),
  };
}

async function readOwn(
  input: IdentityInput['own_tokens'],
  url: string,
  { directory, document, problems }: Reading,
): Promise<IdentityConfig['ownTokens']> {
  const issuer = input?.issuer?.replace(/\/$/u, '') ?? url;
  if (input?.keys === undefined) return { issuer };
  const file = absolute(directory, input.keys.file);
  try {
    await readReference(file);
  } catch (error) {
    problems.push(document.problem(['identity', 'own_tokens', 'keys', 'file'], (error as Error).message));
  }
  return { issuer, keys: { file } };
}

const claimsOf = ({ claims = {} }: Pick<ProviderInput, 'claims'>): Claims => ({
  groups: claims.groups ?? 'groups',
  roles: claims.roles ?? 'roles',
  purpose: claims.purpose ?? 'purpose',
  kind: claims.kind ?? 'kind',
  prompt: claims.prompt ?? 'prompt',
  attributes: claims.attributes ?? [],
});

const assertedLifetime_ms = 900_000;

async function readSaml(
  { providers, saml = [] }: IdentityInput,
  audience: string,
  reading: Reading,
): Promise<SamlProvider[]> {
  const { directory, document, problems } = reading;
  const taken = {
    name: new Set(providers.map(({ name }) => name)),
    issuer: new Set(providers.map((one) => one.issuer)),
  };
  const found: SamlProvider[] = [];
  for (const [index, input] of saml.entries()) {
    const refuse = (path: KeyPath, message: string) =>
      problems.push(document.problem(['identity', 'saml', index, ...path], message));
    // One issuer is one issuer: its subjects could not be told apart from those of another that has its name.
    for (const key of ['name', 'issuer'] as const) {
      if (taken[key].has(input[key])) refuse([key], `another provider has the same ${key}`);
      taken[key].add(input[key]);
    }
    const file = absolute(directory, input.certificates.file);
    try {
      if (!(await readReference(file)).includes('-----BEGIN CERTIFICATE-----'))
        throw new Error(`the file ${file} has no certificate in PEM in it`);
    } catch (error) {
      refuse(['certificates', 'file'], (error as Error).message);
    }
    found.push({
      name: input.name,
      issuer: input.issuer,
      certificates: { file },
      audience: input.audience ?? audience,
      claims: claimsOf(input),
      kindDefault: input.kind_default ?? 'human',
      tokenLifetime_ms: read_ms(input.token_lifetime, assertedLifetime_ms),
      ...(await readDirectory(input.directory, ['identity', 'saml', index], reading)),
    });
  }
  return found;
}

const certificateLifetime_ms = 86_400_000;

async function readMtls(input: IdentityInput['mtls'], reading: Reading): Promise<{ readonly mtls?: MtlsConfig }> {
  if (input === undefined) return {};
  return {
    mtls: {
      trustDomain: input.trust_domain,
      groups: input.groups ?? [],
      roles: input.roles ?? [],
      ...(input.purpose !== undefined && { purpose: input.purpose }),
      kindDefault: input.kind_default ?? 'service',
      certificateLifetimeMax_ms: read_ms(input.certificate_lifetime_max, certificateLifetime_ms),
      ...(await readDirectory(input.directory, ['identity', 'mtls'], reading)),
    },
  };
}

function readLogin(
  input: IdentityInput['login'],
  providers: readonly Provider[],
  { document, problems }: Reading,
): { readonly login?: LoginConfig } {
  if (input === undefined) return {};
  const refuse = (message: string) => {
    const path = ['identity', 'login', ...(input.provider === undefined ? [] : ['provider'])];
    problems.push(document.problem(path, message));
    return {};
  };
  const names = providers.map(({ name }) => name).join(', ');
  const named = input.provider === undefined && providers.length === 1 ? providers[0]?.name : input.provider;
  if (named === undefined) return refuse(`say which provider: ${names}`);
  const provider = providers.find(({ name }) => name === named);
  if (provider === undefined) return refuse(`there is no provider "${named}"; there is ${names}`);
  if (!isDiscoverable(provider.issuer))
    return refuse('its issuer must be https:// (http:// only on loopback): people are sent there to sign in');
  return {
    login: {
      issuer: provider.issuer,
      client_id: input.client_id,
      scopes: input.scopes ?? ['openid', 'offline_access'],
      ...(input.audience === undefined ? {} : { audience: input.audience }),
      token: input.token ?? 'access',
    },
  };
}

function isDiscoverable(issuer: string): boolean {
  const url = URL.canParse(issuer) ? new URL(issuer) : undefined;
  return url !== undefined && (url.protocol === 'https:' || isLoopback(url.hostname.replace(/^\[|\]$/gu, '')));
}

const read_ms = (text: string | undefined, byDefault_ms: number) =>
  text === undefined ? byDefault_ms : (duration(text) ?? byDefault_ms);

async function readProvider(input: ProviderInput, path: KeyPath, reading: Reading): Promise<Provider> {
  const { directory, document, problems } = reading;
  if (input.jwks === undefined) {
    if (!isDiscoverable(input.issuer)) {
      problems.push(
        document.problem(
          [...path, 'issuer'],
          'keys are discovered there, so it must be https:// (http:// only on loopback); or give jwks: {file: …}',
        ),
      );
    }
  } else {
    try {
      await readReference(absolute(directory, input.jwks.file));
    } catch (error) {
      problems.push(document.problem([...path, 'jwks', 'file'], (error as Error).message));
    }
  }
  return {
    name: input.name,
    issuer: input.issuer,
    ...(input.jwks && { jwks: { file: absolute(directory, input.jwks.file) } }),
    audience: typeof input.audience === 'string' ? [input.audience] : input.audience,
    algorithms: input.algorithms ?? ['ES256', 'EdDSA', 'PS256', 'RS256'],
    claims: claimsOf(input),
    kindDefault: input.kind_default ?? 'service',
    ...(input.single_use === true && { singleUse: true }),
    ...(await readDirectory(input.directory, path, reading)),
  };
}

const refreshDefault_ms = 60_000;

async function readDirectory(
  input: ProviderInput['directory'],
  path: KeyPath,
  { directory, document, problems }: Reading,
): Promise<Pick<Provider, 'directory'>> {
  if (input === undefined) return {};
  const refuse = (key: string, message: string) => {
    problems.push(document.problem([...path, 'directory', ...(key === '' ? [] : [key])], message));
    return {};
  };
  if ((input.file === undefined) === (input.url === undefined)) return refuse('', 'give either file or url');
  if (input.file !== undefined) {
    if (input.token !== undefined) return refuse('token', 'is for a url, and not for a file');
    return { directory: { file: absolute(directory, input.file) } };
  }
  const url = input.url ?? '';
  if (!isDiscoverable(url)) return refuse('url', 'must be https:// (http:// only on loopback)');
  const { value: token, unavailable } = await resolveFiles(input.token, directory);
  if (unavailable !== undefined) return refuse('token', unavailable);
  const refresh_ms = read_ms(input.refresh, refreshDefault_ms);
  return { directory: { url, refresh_ms, ...(typeof token === 'string' ? { token } : {}) } };
}
