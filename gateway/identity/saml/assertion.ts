import { IdentityError } from '../../errors.js';
import { quote } from '../token.js';

/** What a verified assertion says (saml-core 2.0, 2.3 to 2.7; profile of 4.1.4.2), as the library's reader has it. */
export interface Assertion {
  readonly $?: Attributes;
  readonly Issuer?: readonly Text[];
  readonly Subject?: readonly Subject[];
  readonly Conditions?: readonly Conditions[];
  readonly AuthnStatement?: readonly { readonly $?: Attributes }[];
  readonly AttributeStatement?: readonly { readonly Attribute?: readonly Attribute[] }[];
}
type Attributes = Readonly<Record<string, string>>;
type Text = { readonly _?: string } | string;
interface Subject {
  readonly NameID?: readonly Text[];
  readonly SubjectConfirmation?: readonly {
    readonly $?: Attributes;
    readonly SubjectConfirmationData?: readonly { readonly $?: Attributes }[];
  }[];
}
interface Conditions {
  readonly $?: Attributes;
  readonly AudienceRestriction?: readonly { readonly Audience?: readonly Text[] }[];
  readonly [other: string]: unknown;
}
interface Attribute {
  readonly $?: Attributes;
  readonly AttributeValue?: readonly unknown[];
}

export interface Terms {
  readonly issuer: string;
  readonly audience: string;
  readonly recipients: readonly string[];
  readonly now_ms: number;
  readonly clockSkew_ms: number;
  /** Between when it was issued and when it is over. */
  readonly lifetime_ms_max: number;
}

export interface Checked {
  readonly id: string;
  readonly subject: string;
  readonly issued_ms: number;
  /** Until when it may be brought. */
  readonly good_ms: number;
  /** Until when the session at the provider lasts, where it says. */
  readonly session_ms: number | undefined;
  readonly attributes: ReadonlyMap<string, readonly string[]>;
}

const refuse = (reason: string, message: string) => new IdentityError(reason, `the SAML assertion ${message}`);
const textOf = (value: Text | undefined): string => ((typeof value === 'string' ? value : value?._) ?? '').trim();

/** Conditions that are understood; any other makes an assertion mean something that was not checked (saml-core, 2.5.1). */
const conditionsKnown = new Set(['$', '_', 'AudienceRestriction', 'OneTimeUse', 'ProxyRestriction']);

/** @throws IdentityError where it is not for this gateway, not now, or from somebody else. */
export function checkAssertion(assertion: Assertion, terms: Terms): Checked {
  const { ID: id = '', Version: version, IssueInstant: issued } = assertion.$ ?? {};
  if (version !== '2.0' || !/^[A-Za-z_][\w.-]{0,255}$/u.test(id)) throw refuse('malformed', 'is none of SAML 2.0');
  const issuer = textOf(only(assertion.Issuer, 'Issuer'));
  if (issuer !== terms.issuer)
    throw refuse('issuer', `is of ${quote(issuer)}, not of the issuer that its signature is expected from`);
  const issued_ms = instant(issued, 'IssueInstant');
  if (issued_ms > terms.now_ms + terms.clockSkew_ms) throw refuse('not_yet', 'was issued in the future');
  const subject = only(assertion.Subject, 'Subject');
  const good_ms = Math.min(checkConditions(assertion.Conditions, terms), checkBearer(subject, terms));
  if (good_ms - issued_ms > terms.lifetime_ms_max) throw refuse('lifetime', 'was given a longer life than is accepted');
  const nameId = textOf(only(subject.NameID, 'NameID'));
  return {
    id,
    subject: nameId,
    issued_ms,
    good_ms,
    session_ms: sessionOf(assertion, terms),
    attributes: attributesOf(assertion),
  };
}

function checkConditions(given: readonly Conditions[] | undefined, { audience, now_ms, clockSkew_ms }: Terms): number {
  const conditions = only(given, 'Conditions');
  const other = Object.keys(conditions).find((name) => !conditionsKnown.has(name));
  if (other !== undefined) throw refuse('unsupported', `has the condition ${quote(other)}, which is not understood`);
  const { NotBefore: from, NotOnOrAfter: until } = conditions.$ ?? {};
  if (from !== undefined && instant(from, 'NotBefore') > now_ms + clockSkew_ms)
    throw refuse('not_yet', 'is not valid yet');
  const until_ms = instant(until, 'NotOnOrAfter');
  if (until_ms <= now_ms) throw refuse('expired', 'has expired: sign in again');
  // Each restriction has to let this gateway in.
  const restrictions = conditions.AudienceRestriction ?? [];
  const lets = restrictions.every(({ Audience: names }) => (names ?? []).some((name) => textOf(name) === audience));
  if (restrictions.length === 0 || !lets)
    throw refuse('audience', `is for somebody else: this gateway is ${quote(audience)}`);
  return until_ms;
}

/**
 * One confirmation that holds is enough (saml-profiles, 4.1.4.3). Returned is until when any does: an assertion that is
 * remembered for less could be brought again by the one that lasts longer.
 */
function checkBearer({ SubjectConfirmation: confirmations }: Subject, { recipients, now_ms }: Terms): number {
  let good_ms: number | undefined;
  let why = refuse('bearer', 'has no subject confirmation of a bearer');
  for (const { $, SubjectConfirmationData: data } of confirmations ?? []) {
    if ($?.['Method'] !== 'urn:oasis:names:tc:SAML:2.0:cm:bearer') continue;
    const {
      Recipient: recipient = '',
      NotOnOrAfter: until,
      NotBefore: from,
      InResponseTo: request,
    } = data?.[0]?.$ ?? {};
    if (data?.length !== 1 || until === undefined || from !== undefined) continue;
    const until_ms = instant(until, 'NotOnOrAfter');
    if (!recipients.includes(recipient))
      why = refuse('recipient', `was to be brought to ${quote(recipient)}, not here`);
    else if (request !== undefined) why = unasked();
    else if (until_ms <= now_ms) why = refuse('expired', 'has expired: sign in again');
    else good_ms = Math.max(good_ms ?? until_ms, until_ms);
  }
  if (good_ms === undefined) throw why;
  return good_ms;
}

/** This gateway sends no requests: what answers one was asked for by somebody else. */
export const unasked = () =>
  refuse('unasked', 'answers a request that this gateway did not send: begin at the provider');

function sessionOf({ AuthnStatement: statements }: Assertion, { now_ms }: Terms): number | undefined {
  if (statements === undefined || statements.length === 0)
    throw refuse('bearer', 'does not say that somebody signed in (AuthnStatement)');
  const ends = statements
    .flatMap(({ $ }) => $?.['SessionNotOnOrAfter'] ?? [])
    .map((end) => instant(end, 'SessionNotOnOrAfter'));
  if (ends.some((end_ms) => end_ms <= now_ms)) throw refuse('expired', 'is of a session that is over');
  return ends.length === 0 ? undefined : Math.min(...ends);
}

function attributesOf({ AttributeStatement: statements = [] }: Assertion): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const { $, AttributeValue: values = [] } of statements.flatMap(({ Attribute: all }) => all ?? [])) {
    const name = $?.['Name'] ?? '';
    if (found.has(name)) throw refuse('claims', `has the attribute ${quote(name)} twice`);
    // A value with elements in it is nothing that a rule could be about.
    found.set(
      name,
      values.flatMap((value) => (isText(value) ? [textOf(value)] : [])).filter((text) => text !== ''),
    );
  }
  return found;
}

const isText = (value: unknown): value is Text =>
  typeof value === 'string' ||
  (typeof value === 'object' && value !== null && Object.keys(value).every((key) => key === '_' || key === '$'));

function only<T>(list: readonly T[] | undefined, name: string): T {
  const [first] = list ?? [];
  if (first === undefined || list?.length !== 1) throw refuse('malformed', `needs one ${name}`);
  return first;
}

/** saml-core, 1.3.3: in UTC, or it is none. */
function instant(text: string | undefined, name: string): number {
  const time_ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/u.test(text ?? '')
    ? Date.parse(text ?? '')
    : Number.NaN;
  if (Number.isNaN(time_ms)) throw refuse('malformed', `needs a time in UTC as its ${name}`);
  return time_ms;
}
