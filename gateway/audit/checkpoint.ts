import { hash } from 'node:crypto';
import { genesis } from './chain.js';
import { isSigned, type Signer } from './signing.js';

/**
 * What a signature says: so far had the chains of these writers come. Checkpoints of one store are numbered, and each has the
 * hash of the one before, so none can be left out unseen; each of them stands as a record in the chain of the writer that
 * made it, so the chains of all writers are tied together.
 */
export interface Head {
  readonly writer: string;
  /** Of the writer's last record; 0: it has none yet. */
  readonly sequence: number;
  readonly hash: string;
  /** The writer has closed its log: nothing follows but the record with this checkpoint. */
  readonly ended?: true;
}

/** Where the chain of a writer begins now: retention removed this record and all before it. */
export type Cut = Pick<Head, 'writer' | 'sequence' | 'hash'>;

export interface Checkpoint {
  /** Counts from 1 within the store. */
  readonly number: number;
  /** The hash of the checkpoint before. */
  readonly previous: string;
  readonly timestamp: string;
  /** Of every writer whose chain has grown since the checkpoint before; all that are known, where a writer starts. */
  readonly heads: readonly Head[];
  /** Likewise. */
  readonly cuts: readonly Cut[];
  /** The id of the key that signs it. */
  readonly key: string;
  readonly signature: string;
}

/** What is signed and hashed: the fields in this order, without white space, behind a line that says what it is. */
function textOf({ number, previous, timestamp, heads, cuts, key }: Omit<Checkpoint, 'signature'>): string {
  const plain = {
    number,
    previous,
    timestamp,
    heads: heads.map((head) => ({ ...cutOf(head), ...(head.ended === true ? { ended: true } : {}) })),
    cuts: cuts.map(cutOf),
    key,
  };
  return `sallyport audit checkpoint 1\n${JSON.stringify(plain)}`;
}

const cutOf = ({ writer, sequence, hash }: Cut): Cut => ({ writer, sequence, hash });

export function signCheckpoint(
  previous: Checkpoint | undefined,
  content: Pick<Checkpoint, 'timestamp' | 'heads' | 'cuts'>,
  signer: Signer,
): Checkpoint {
  const unsigned = {
    number: (previous?.number ?? 0) + 1,
    previous: previous === undefined ? genesis : checkpointHash(previous),
    ...content,
    key: signer.id,
  };
  return { ...unsigned, signature: signer.sign(textOf(unsigned)) };
}

export const checkpointHash = (checkpoint: Checkpoint) => hash('sha256', textOf(checkpoint), 'base64url');

export const isSignedCheckpoint = (checkpoint: Checkpoint, publicKey: string) =>
  isSigned(textOf(checkpoint), checkpoint.signature, publicKey);

/** Undefined for what has not the shape: it came from a file. */
export function asCheckpoint(value: unknown): Checkpoint | undefined {
  const it = value as Partial<Checkpoint> | null | undefined;
  const well =
    typeof it === 'object' &&
    it !== null &&
    Number.isSafeInteger(it.number) &&
    [it.previous, it.timestamp, it.key, it.signature].every((text) => typeof text === 'string') &&
    [it.heads, it.cuts].every((heads) => Array.isArray(heads) && heads.every(isHead));
  return well ? (it as Checkpoint) : undefined;
}

function isHead(value: unknown): boolean {
  const { writer, sequence, hash } = (value ?? {}) as Partial<Head>;
  return typeof writer === 'string' && Number.isSafeInteger(sequence) && typeof hash === 'string';
}
