import type { Decision, Operation } from '#engine';
import type { Circumstances, Enforced, Hold, Prompt, Session } from '../../protocol.js';
import { admit, sha256, type Admitted, type Meanwhile } from '../../web/index.js';
import { programsData, programsOf, type Programs } from '../../shell/index.js';
import type { Address } from './address.js';
import type { KubernetesRequest } from './codec.js';
import type { KubernetesUpstream } from './config.js';
import { sentAddress } from './entered.js';
import { MaskRefusal } from './masking.js';
import { masksOf, refusedBy, unmasked, type Masks } from './masks.js';
import { objectOf, operationOf } from './operation.js';
import { effectOf } from './preview/result.js';
import { effectChanged, tryIfAsked, type Outcome } from './preview/trial.js';
import { writes, type Send } from './preview/trying.js';

/** What is judged, and in which circumstances. */
export interface Asked {
  readonly session: Session;
  readonly request: KubernetesRequest;
  readonly upstream: KubernetesUpstream;
  readonly circumstances: Circumstances;
}

/** What was let through, and as what it leaves. */
export interface Leaving extends Asked, Admitted {
  /** As it is sent. */
  readonly address: Address;
  readonly masks: Masks;
  readonly opaque: boolean;
  /** True: it is bound to the version of the object that it was judged with, and its client did not ask for that. */
  readonly pinned: boolean;
}

export interface AdmissionParts {
  readonly signal: AbortSignal;
  /** Of the target's keyed masks, as 64 hexadecimal digits. Throws MaskRefusal. */
  readonly key: () => string;
  /** Asks the API server as whoever asks here. */
  readonly send: Send;
}

/** Judges it, tries out what it would become where policy asks for that, waits for people, and finds out how its masks are put in force. */
export async function admitRequest(asked: Asked, { signal, key, send }: AdmissionParts): Promise<Leaving> {
  const { session, request, upstream } = asked;
  const { programs, understoodBy } = knownTo(session);
  const circumstances = { ...asked.circumstances, ...understoodBy };
  const plain = operationOf(request, upstream, programs);
  const masksFor = (decision: Decision) => masksOf(decision, request, plain, key);
  const parts = { session, request, operation: plain, circumstances, send, masksOf: masksFor };
  const attempt = async () => (writes(request) ? tryIfAsked(parts) : undefined);
  const judged = (outcome: Outcome | undefined): Operation =>
    outcome === undefined ? plain : operationOf(request, upstream, programs, outcome.becoming);
  const address = sentAddress(request, programs);
  let outcome = await attempt();
  let masks: Masks = unmasked;
  const enforce = (decision: Decision): Enforced => {
    const refusal = refusedBy(() => {
      masks = masksFor(decision);
      if (outcome !== undefined && !isSame(outcome.masks, masks))
        throw new MaskRefusal('what is masked for you is another thing once it is known what this would become');
    });
    return refusal === undefined ? sentAs(request, address, outcome) : { refusal };
  };
  const meanwhile: Meanwhile = {
    held: (hold) => showEffect(hold, outcome, objectOf(plain)),
    again: async (end) => {
      const before = outcome;
      outcome = await attempt();
      if (end.how === 'approved' && before?.becoming.digest !== outcome?.becoming.digest) throw effectChanged();
      return judged(outcome);
    },
  };
  const admitted = await admit(session, judged(outcome), circumstances, enforce, signal, meanwhile);
  const tried = outcome?.tried.known === true ? outcome.tried : undefined;
  const leaving = tried === undefined ? request : { ...request, body: tried.body };
  const pinned = tried?.pinned ?? false;
  return { ...asked, request: leaving, ...admitted, address, masks, opaque: plain.opaque, pinned };
}

const nothing: Enforced = {};

/** What leaves in place of what its client sent. */
function sentAs(request: KubernetesRequest, address: Address, outcome: Outcome | undefined): Enforced {
  if (outcome?.tried.known === true && outcome.tried.body !== request.body)
    return { sent: sha256(outcome.tried.body.bytes) };
  return address === request.address ? nothing : { sent: sha256(address.text) };
}

const isSame = (one: Masks, other: Masks) =>
  one.kinds === other.kinds && JSON.stringify(one.fields?.names) === JSON.stringify(other.fields?.names);

/** People who cannot be shown what it does have not approved that. */
function showEffect(hold: Hold, outcome: Outcome | undefined, object: string): void {
  if (outcome === undefined) return;
  hold.show(effectOf(outcome.becoming, object)).catch(() => hold.withdraw('preview_failed'));
}

/** What the policy in force knows of programs, and that the operation was understood by that. */
export function knownTo(session: Session): { readonly programs: Programs; readonly understoodBy: Circumstances } {
  const known = session.policyData?.(programsData);
  return {
    programs: programsOf(known?.documents ?? []),
    understoodBy: known === undefined ? {} : { understoodBy: { data: programsData, digest: known.digest } },
  };
}

export const circumstancesOf = (prompt: Prompt | undefined): Circumstances => ({
  ...(prompt === undefined ? {} : { prompt }),
  withhold: withoutObject,
  told: withoutResult,
});

type Own = Readonly<Record<string, unknown>>;

/** A record has what was done to which object; the object itself only where nothing of it may be a masked value. */
function withoutObject(own: unknown): Own {
  const { object: _, command: __, commands: ___, ...rest } = own as Own;
  return rest;
}

/** Records have which fields it would change, and no values; its requester is told nothing of it, and those who answer have its effect. */
function withoutResult(own: unknown, to: 'records' | 'request'): Own {
  const { result, ...rest } = own as Own & { readonly result?: { readonly changes?: readonly { path: string }[] } };
  if (result === undefined || to === 'request') return rest;
  const { object: _, changes, ...told } = result as Own & typeof result;
  return { ...rest, result: { ...told, ...(changes && { changes: changes.map(({ path }) => ({ path })) }) } };
}
