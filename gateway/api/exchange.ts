import { decodeJwt, type JWTPayload } from 'jose';
import { IdentityError } from '../errors.js';
import { ancestors_max, type Act, type Issuance, type OwnTokens } from '../identity/index.js';
import type { Client, Identity } from '../protocol.js';
import { prompt_chars_max } from '../prompts/prompts.js';
import { clientOf, form_bytes_max, formOf, secondsUntil, takeForms } from './forms.js';
import type { ApiParts } from './parts.js';
import { recordAct } from './record.js';
import type { HttpGate } from './server.js';

/**
 * POST /v1/token: a token of an issuer that the gateway trusts for one of its own (RFC 8693): for one target, for a shorter
 * time, with a purpose and a prompt, and where an `actor_token` comes along, with who acts for whom. What is held is all
 * that is needed: there is no client to sign in, and no cookie is looked at.
 */
const grantType = 'urn:ietf:params:oauth:grant-type:token-exchange';
const jwtType = 'urn:ietf:params:oauth:token-type:jwt';
const samlType = 'urn:ietf:params:oauth:token-type:saml2';
const accessType = 'urn:ietf:params:oauth:token-type:access_token';

const purpose_chars_max = 256;
const parameters = new Set([
  'grant_type',
  'subject_token',
  'subject_token_type',
  'actor_token',
  'actor_token_type',
  'requested_token_type',
  'audience',
  'resource',
  'scope',
  'purpose',
  'prompt',
  'prompt_id',
  'expires_in',
]);

/** RFC 6749, 5.2, and RFC 8693, 2.2.2. */
class ExchangeError extends Error {
  constructor(
    readonly code: 'invalid_request' | 'invalid_grant' | 'unsupported_grant_type' | 'invalid_target' | 'invalid_scope',
    message: string,
  ) {
    super(message);
  }
}

export function exchangeGate(parts: ApiParts, own: OwnTokens): HttpGate {
  return {
    name: 'exchange',
    async register(app) {
      const refused = takeForms(app, parts.now);
      app.post('/v1/token', { bodyLimit: form_bytes_max }, async (request, reply) => {
        const client = clientOf(request);
        if (!refused.has(client.address)) return reply.code(429).send(said('invalid_request', 'too many were refused'));
        try {
          const form = readForm(formOf(request));
          const { issuance, identity } = await orderOf(form, client, parts, own);
          const caller = { identity, roles: new Set<never>(), through: 'token exchange', client };
          const fields = issuance.target === undefined ? {} : { target: issuance.target };
          await recordAct(parts.audit, caller, 'token_exchange', fields, {
            ...(issuance.purpose === undefined ? {} : { purpose: issuance.purpose }),
            ...(issuance.act === undefined ? {} : { act: issuance.act }),
          });
          const { token, expires_ms } = await own.issue(issuance);
          return await reply.send({
            access_token: token,
            issued_token_type: jwtType,
            token_type: 'Bearer',
            expires_in: secondsUntil(expires_ms, parts.now()),
          });
        } catch (error) {
          if (!(error instanceof ExchangeError) && !(error instanceof IdentityError)) throw error;
          if (error instanceof IdentityError) refused.take(client.address);
          const code = error instanceof ExchangeError ? error.code : 'invalid_grant';
          return reply.code(400).send(said(code, error.message));
        }
      });
    },
  };
}

const said = (error: string, text: string) => ({ error, error_description: text.replace(/[^\x20-\x7e]|["\\]/gu, "'") });

type Form = ReadonlyMap<string, string>;

/** A parameter that is not known, or stands twice, may be one that another reader takes for something else. */
function readForm(given: URLSearchParams): Form {
  const form = new Map<string, string>();
  for (const [name, value] of given) {
    if (!parameters.has(name))
      throw new ExchangeError('invalid_request', `the parameter ${name.slice(0, 40)} is not known`);
    if (form.has(name)) throw new ExchangeError('invalid_request', `the parameter ${name} is given twice`);
    if (value !== '') form.set(name, value);
  }
  return form;
}

async function orderOf(
  form: Form,
  client: Client,
  parts: ApiParts,
  own: OwnTokens,
): Promise<{ issuance: Issuance; identity: Identity }> {
  if (form.get('grant_type') !== grantType)
    throw new ExchangeError('unsupported_grant_type', `grant_type is ${grantType}`);
  if (form.has('scope'))
    throw new ExchangeError('invalid_scope', 'what a token may do is for policy to say: leave scope out');
  if (![undefined, jwtType, accessType].includes(form.get('requested_token_type')))
    throw new ExchangeError('invalid_request', 'requested_token_type is jwt or access_token');
  const subject = await tokenOf(form, 'subject', client, parts);
  if (subject === undefined) throw new ExchangeError('invalid_request', 'subject_token is missing');
  const actor = await tokenOf(form, 'actor', client, parts);
  const { identity } = subject;
  if ((identity.principal.token.from?.length ?? 0) >= ancestors_max)
    throw new ExchangeError('invalid_grant', 'the token was exchanged too often: begin with one of its issuer');
  const target = targetOf(form, identity, own);
  const purpose = form.get('purpose');
  const vouched = identity.principal.purpose;
  if (purpose !== undefined && (purpose.length > purpose_chars_max || /\p{Cc}/u.test(purpose)))
    throw new ExchangeError(
      'invalid_request',
      `purpose has at most ${purpose_chars_max} characters, none of them control characters`,
    );
  if (purpose !== undefined && vouched !== undefined && purpose !== vouched)
    throw new ExchangeError(
      'invalid_grant',
      'the token is for another purpose: ask its issuer for one that is for this',
    );
  const issuance = {
    identity:
      actor === undefined
        ? identity
        : { ...identity, expires_ms: Math.min(identity.expires_ms, actor.identity.expires_ms) },
    target,
    purpose,
    prompt: promptOf(form),
    ...delegation(subject, actor),
    lifetime_ms: lifetimeOf(form),
  };
  return { issuance, identity };
}

interface Given {
  readonly identity: Identity;
  readonly claims: JWTPayload;
}

async function tokenOf(
  form: Form,
  who: 'subject' | 'actor',
  client: Client,
  parts: ApiParts,
): Promise<Given | undefined> {
  const token = form.get(`${who}_token`);
  const type = form.get(`${who}_token_type`);
  if (token === undefined) {
    if (type !== undefined) throw new ExchangeError('invalid_request', `${who}_token_type stands without ${who}_token`);
    return undefined;
  }
  // Good once, and for one of the two: who acts is known by a token.
  if (type === samlType && who === 'subject' && parts.assert !== undefined)
    return { identity: await parts.assert(token, client), claims: {} };
  if (type !== jwtType && type !== accessType)
    throw new ExchangeError('invalid_request', `${who}_token_type is ${jwtType} or ${accessType}`);
  const identity = await parts.identify(token, client);
  // A ticket stands for a token, and is none.
  if (!token.trim().startsWith('eyJ')) throw new ExchangeError('invalid_grant', `${who}_token is no JWT`);
  return { identity, claims: decodeJwt(token.trim()) };
}

/** RFC 8693, 4.1 and 4.4: who acts stands outermost, and those who acted before them stay inside. */
function delegation({ identity, claims }: Given, actor: Given | undefined): Pick<Issuance, 'act' | 'kind'> {
  const before = claims.act as Act | undefined;
  const { may_act: mayAct } = claims as { may_act?: { sub?: unknown; iss?: unknown } };
  if (actor === undefined) return before === undefined ? {} : { act: before };
  const { subject, issuer, kind } = actor.identity.principal;
  // Policy and approvals know who acts by its subject alone, as the subject's issuer has it: another's must not look like it.
  if (issuer !== identity.principal.issuer)
    throw new ExchangeError(
      'invalid_grant',
      'actor_token and subject_token are of two issuers: both have to be of one',
    );
  if (actor.identity.target !== undefined)
    throw new ExchangeError(
      'invalid_grant',
      'actor_token is for one target alone: send one that says who acts everywhere',
    );
  if (mayAct !== undefined && (mayAct.sub !== subject || (mayAct.iss !== undefined && mayAct.iss !== issuer)))
    throw new ExchangeError('invalid_grant', 'the subject lets somebody else act for it (may_act)');
  if (depthOf(before) >= ancestors_max)
    throw new ExchangeError('invalid_grant', 'too many have acted for the subject already');
  // What acts is what rules about agents are about, whoever it acts for.
  return { act: { sub: subject, iss: issuer, ...(before === undefined ? {} : { act: before }) }, kind };
}

const depthOf = (act: Act | undefined): number => (act === undefined ? 0 : 1 + depthOf(act.act));

/** One target, by its name or as its tokens have it in "aud"; a token that is for one already stays for that. */
function targetOf(form: Form, { target: bound }: Identity, own: OwnTokens): string | undefined {
  const audience = form.get('audience');
  const resource = form.get('resource');
  if (audience !== undefined && resource !== undefined && audience !== resource)
    throw new ExchangeError('invalid_target', 'audience and resource name two things: a token is for one target');
  const asked = audience ?? resource;
  if (asked === undefined || asked === own.issuer) {
    if (asked !== undefined && bound !== undefined)
      throw new ExchangeError('invalid_target', `the token is for the target "${bound}" alone`);
    return bound;
  }
  const target = own.targetOf(asked);
  if (target === undefined) throw new ExchangeError('invalid_target', 'there is no such target');
  if (bound !== undefined && bound !== target)
    throw new ExchangeError('invalid_target', `the token is for the target "${bound}" alone`);
  return target;
}

function promptOf(form: Form): Issuance['prompt'] {
  const text = form.get('prompt');
  const id = form.get('prompt_id');
  if (text !== undefined && text.length > prompt_chars_max)
    throw new ExchangeError('invalid_request', 'prompt is too long');
  if (id !== undefined && !/^[\w.:-]{1,64}$/u.test(id))
    throw new ExchangeError('invalid_request', 'prompt_id is no id');
  if (text === undefined && id === undefined) return undefined;
  return { ...(id === undefined ? {} : { id }), ...(text === undefined ? {} : { text }) };
}

function lifetimeOf(form: Form): number | undefined {
  const text = form.get('expires_in');
  if (text === undefined) return undefined;
  if (!/^[1-9]\d{0,5}$/u.test(text)) throw new ExchangeError('invalid_request', 'expires_in is a number of seconds');
  return Number(text) * 1000;
}
