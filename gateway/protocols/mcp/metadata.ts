import type { IncomingMessage } from 'node:http';

/**
 * Where a client that has no token finds out who issues them.
 *
 * @see RFC 9728
 */
export const metadataPrefix = '/.well-known/oauth-protected-resource/mcp/';

/** HOST[:PORT] as the client wrote it; undefined where that is no authority. */
function authority({ headers }: IncomingMessage): string | undefined {
  const host = headers.host ?? '';
  return /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$/.test(host) ? host : undefined;
}

/** The value for `resource_metadata` of a challenge. */
export function metadataUrl(request: IncomingMessage, target: string): string | undefined {
  const host = authority(request);
  return host === undefined ? undefined : `https://${host}${metadataPrefix}${target}`;
}

/** @param issuers Whose tokens the gateway takes. */
export function metadataOf(request: IncomingMessage, target: string, issuers: readonly string[]) {
  const host = authority(request);
  if (host === undefined) return undefined;
  return {
    resource: `https://${host}/mcp/${target}`,
    authorization_servers: issuers,
    bearer_methods_supported: ['header'],
    resource_name: `Sallyport: ${target}`,
  };
}
