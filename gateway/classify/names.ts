import type { Kind } from './kinds.js';

/**
 * What a column says of itself, by its name, its relation's name and its comment. Names are split into words first, so
 * that `customerEmail`, `CUSTOMER_EMAIL` and `customer-e-mail` are one.
 */

/** A kind's words, each a sequence that has to stand together. In some of the languages that schemas are written in. */
const vocabulary: readonly (readonly [Kind, string])[] = [
  ['email', 'email, e mail, mail, emailaddress, mailaddress, courriel, correo, epost'],
  [
    'card',
    `card number, cardnumber, card num, card no, creditcard, credit card, debit card, cc number, cc num, ccnum, ccnumber,
     cvv, cvv2, cvc, card pan, kreditkarte, kartennummer, carte bancaire`,
  ],
  [
    'iban',
    `iban, bank account, bankaccount, account number, accountnumber, routing number, sort code, kontonummer, bban`,
  ],
  [
    'national_id',
    `ssn, social security, socialsecurity, nino, national id, nationalid, national number, tax id, taxid, taxpayer,
     passport, passportnumber, driver license, driver licence, drivers license, driving licence, driving license,
     identity number, id number, id card, identity card, personal number, personnummer, cpf, dni, nif, nie, bsn, pesel,
     aadhaar, codice fiscale, steuer id, steuernummer, steueridentifikationsnummer, insee, ahv, sozialversicherungsnummer`,
  ],
  [
    'birth',
    `dob, birth, birthday, birthdate, dateofbirth, born, geburtsdatum, geburtstag, nacimiento, naissance, nascita`,
  ],
  ['phone', `phone, telephone, mobile, cell, cellphone, fax, msisdn, phonenumber, telefon, telefono, tel, whatsapp`],
  [
    'ip',
    `ip, ip address, ipaddress, ip addr, ipaddr, ipv4, ipv6, remote addr, remote address, client address, mac address,
     macaddr, inet addr`,
  ],
  [
    'secret',
    `password, passwd, pwd, passphrase, passwort, kennwort, secret, api key, apikey, access key, accesskey, private key,
     privatekey, secret key, signing key, encryption key, access token, refresh token, auth token, session token, token,
     bearer, credential, otp, totp, jwt, connection string, recovery code, backup code, pin, pin code`,
  ],
  [
    'address',
    `address, street, streetname, addr, addr1, addr2, postcode, postal code, postalcode, zip, zip code, zipcode, house number,
     plz, postleitzahl, strasse, rue, adresse, direccion, indirizzo, anschrift, address1, address2`,
  ],
  [
    'name',
    `first name, firstname, last name, lastname, full name, fullname, surname, given name, givenname, family name,
     familyname, maiden name, middle name, fname, lname, forename, person name, customer name, contact name,
     employee name, patient name, legal name, holder name, cardholder, account holder, real name, vorname, nachname,
     apellido, apellidos, prenom, cognome, recipient name, owner name, guardian name, next of kin`,
  ],
  [
    'text',
    `note, comment, remark, memo, bio, biography, message, feedback, review, transcript, complaint, diagnosis, notiz,
     bemerkung, kommentar, commentaire`,
  ],
];

const sequences: readonly { kind: Kind; words: readonly string[] }[] = vocabulary.flatMap(([kind, list]) =>
  list.split(/,\s*/).map((words) => ({ kind, words: words.trim().split(/\s+/) })),
);

/** Such a last word makes the column something *about* it: when it was sent, how many there are, whether it is right. */
const about = new Set(
  `id ids uuid count type kind status state at on sent verified confirmed enabled disabled flag template version length
   format model provider valid validated opt required subject limit size attempts changed expires expiry expiration ttl
   brand scope color currency total amount score rate rating level lang language source url uri path index order max min`.split(
    /\s+/,
  ),
);
/** Such a first word asks a question. */
const asks = new Set([
  'is',
  'has',
  'can',
  'should',
  'num',
  'nr',
  'count',
  'send',
  'allow',
  'allows',
  'requires',
  'needs',
]);

/** Relations whose rows are people: their `name` is a person's. */
const people = new Set(
  `customer user person people employee staff patient contact member student guest lead client subscriber passenger
   applicant candidate doctor teacher tenant driver participant author attendee resident citizen donor volunteer agent
   owner beneficiary borrower insured kunde kunden mitarbeiter personen`.split(/\s+/),
);
/** Relations that keep secrets: their `value` is one. */
const vaults = new Set('secret credential vault keystore apikey'.split(' '));

export interface Named {
  readonly kind: Kind;
  /** Which of them speaks: the column's own name, its name and its relation's together, or its comment. */
  readonly by: 'name' | 'relation' | 'comment';
}

export function kindByName(relation: string, column: string, comment: string | undefined): Named | undefined {
  const words = wordsOf(column);
  const own = kindOfWords(words);
  if (own !== undefined) return { kind: own, by: 'name' };
  const [schema = '', table = ''] = splitOnce(relation);
  const around = wordsOf(table);
  const single = words.join(' ');
  if (single === 'name' && around.some((word) => people.has(word))) return { kind: 'name', by: 'relation' };
  if (
    ['value', 'key', 'data', 'payload', 'hash'].includes(single) &&
    [...wordsOf(schema), ...around].some((word) => vaults.has(word))
  )
    return { kind: 'secret', by: 'relation' };
  // A comment is a sentence: it is believed of a column whose name says nothing else, and only where it is short.
  if (comment !== undefined && !isAbout(words)) {
    const said = wordsOf(comment.slice(0, 200));
    const kind = said.length <= 12 ? kindOfWords(said, true) : undefined;
    if (kind !== undefined && kind !== 'text') return { kind, by: 'comment' };
  }
  return undefined;
}

const splitOnce = (name: string): [string, string] => {
  const dot = name.indexOf('.');
  return dot < 0 ? ['', name] : [name.slice(0, dot), name.slice(dot + 1)];
};

const isAbout = (words: readonly string[]): boolean => about.has(words.at(-1) ?? '') || asks.has(words[0] ?? '');

function kindOfWords(words: readonly string[], prose = false): Kind | undefined {
  const found = sequences.find((sequence) => contains(words, sequence.words));
  if (found === undefined) return undefined;
  if (prose) return found.kind;
  // What stands last is what the column is. The words of the kind themselves may be such a word: tax_id, birth_date.
  const last = words.length - 1;
  const ends = contains(words.slice(-found.words.length), found.words);
  if (!ends && about.has(words[last] ?? '')) return undefined;
  if (asks.has(words[0] ?? '')) return undefined;
  if (found.kind !== 'secret' && ['hash', 'digest', 'hashed'].includes(words[last] ?? '')) return undefined;
  // A public key is for everybody.
  if (found.kind === 'secret' && words.includes('public')) return undefined;
  return found.kind;
}

const contains = (words: readonly string[], wanted: readonly string[]): boolean =>
  words.some((_, at) => wanted.every((word, offset) => words[at + offset] === word));

/** Lower case, without diacritics, in the singular where English makes its plural with an s. */
export function wordsOf(name: string): string[] {
  return name
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .replace(/ß/g, 'ss')
    .replace(/(\p{Ll}|\d)(\p{Lu})/gu, '$1 $2')
    .replace(/(\p{Lu}+)(\p{Lu}\p{Ll})/gu, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
    .map(singular);
}

function singular(word: string): string {
  if (/(?:ss|us|is|os)$/.test(word) || word.length <= 3) return word;
  if (/(?:ses|xes|ches|shes)$/.test(word)) return word.slice(0, -2);
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`;
  return word.endsWith('s') ? word.slice(0, -1) : word;
}
