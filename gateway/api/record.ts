import type { Audit } from '../audit/index.js';
import type { Caller } from './caller.js';

/** Writes down an act that changes something, before it does. Rejects with AuditError: then it must not be done. */
export async function recordAct(
  audit: Audit,
  { identity, through, client }: Caller,
  act: string,
  fields: Readonly<Record<string, unknown>>,
  personal: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { issuer, subject } = identity.principal;
  await audit.write(
    {
      kind: 'administrator',
      fields: { act, through, ...fields },
      personal: { administrator: { issuer, subject }, client: { address: client.address }, ...personal },
    },
    { durable: true },
  );
}
