/**
 * The kinds of personal data that are looked for, and what each comes to in a policy: the label that is proposed, and the
 * mask that a label gets which the policy has none for. Labels and masks are those of the starter policy.
 */
export const kinds = [
  'email',
  'card',
  'iban',
  'national_id',
  'phone',
  'birth',
  'name',
  'address',
  'ip',
  'secret',
  'text',
] as const;
export type Kind = (typeof kinds)[number];

interface KindOf {
  readonly label: string;
  /** In the plural, after "values look like". */
  readonly said: string;
}

const about: Readonly<Record<Kind, KindOf>> = {
  email: { label: 'contact', said: 'e-mail addresses' },
  card: { label: 'payment', said: 'card numbers' },
  iban: { label: 'payment', said: 'bank account numbers' },
  national_id: { label: 'identity', said: 'national identity numbers' },
  phone: { label: 'contact', said: 'phone numbers' },
  birth: { label: 'identity', said: 'dates of birth' },
  name: { label: 'identity', said: "people's names" },
  address: { label: 'contact', said: 'postal addresses' },
  ip: { label: 'contact', said: 'network addresses' },
  secret: { label: 'secret', said: 'keys, tokens or passwords' },
  text: { label: 'text', said: 'free text' },
};

export const labelOf = (kind: Kind): string => about[kind].label;
export const plural = (kind: Kind): string => about[kind].said;

/** What a label's values are masked with where the policy doesn't say yet. */
export const proposedMasks: Readonly<Record<string, string>> = {
  contact: 'partial',
  identity: 'redact',
  payment: 'redact',
  secret: 'null',
  text: 'redact',
};

/** What a column can hold, by its type: which kinds are thought of at all, and whether values are worth a look. */
export type Shape = 'string' | 'number' | 'date' | 'network' | 'document' | 'bytes' | 'other';

const possible: Readonly<Record<Shape, readonly Kind[]>> = {
  string: kinds,
  number: ['card', 'national_id', 'phone', 'birth', 'iban'],
  date: ['birth'],
  network: ['ip'],
  document: ['email', 'card', 'iban', 'national_id', 'phone', 'name', 'address', 'secret', 'text'],
  bytes: ['secret'],
  other: [],
};

export const canHold = (shape: Shape, kind: Kind): boolean => possible[shape].includes(kind);

/** Shapes whose values say something when they are read. */
export const readable = (shape: Shape): boolean => shape !== 'bytes' && shape !== 'other';

/** The shape of a type, by its name and category in pg_type; of a domain, by those of its base. */
export function shapeOf(type: string, category: string): Shape {
  if (category === 'S') return 'string';
  if (category === 'D') return type === 'date' || type.startsWith('timestamp') ? 'date' : 'other';
  if (category === 'I') return 'network';
  // Numbers with a fraction are measures, not numbers of somebody.
  if (category === 'N') return ['int4', 'int8', 'numeric'].includes(type) ? 'number' : 'other';
  if (type === 'bytea') return 'bytes';
  if (['json', 'jsonb', 'xml', 'hstore'].includes(type)) return 'document';
  if (category === 'A') return /^_(text|varchar|bpchar|citext|json|jsonb)$/.test(type) ? 'document' : 'other';
  return 'other';
}
