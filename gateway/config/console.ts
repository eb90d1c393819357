import type { ConsoleConfig, Provider } from './config.js';
import type { Reading } from './load.js';
import { resolveFiles } from './references.js';
import type { ConfigFile } from './schema.js';

/** Reads the part about people: their roles, and how they sign in. */
export async function readConsole(
  input: ConfigFile['console'],
  providers: readonly Provider[],
  { directory, document, problems }: Reading,
): Promise<ConsoleConfig> {
  const roles = { administrators: input?.administrators ?? [], auditors: input?.auditors ?? [] };
  const url = input?.url?.replace(/\/$/u, '');
  const base = { ...roles, ...(url === undefined ? {} : { url }) };
  if (input?.client_id === undefined) return base;

  const named = input.provider;
  const provider =
    named === undefined && providers.length === 1 ? providers[0] : providers.find(({ name }) => name === named);
  if (provider === undefined) {
    const names = providers.map(({ name }) => name).join(', ');
    problems.push(
      document.problem(
        ['console', 'provider'],
        named === undefined
          ? `there are several providers: say which one, of ${names}`
          : `there is no provider of this name, only ${names}`,
      ),
    );
    return base;
  }
  const { value, unavailable } = await resolveFiles(input.client_secret, directory);
  if (unavailable !== undefined) problems.push(document.problem(['console', 'client_secret'], unavailable));
  return {
    ...base,
    signIn: {
      provider,
      clientId: input.client_id,
      ...(typeof value === 'string' && { clientSecret: value }),
      scope: input.scope ?? 'openid profile',
    },
  };
}
