import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { UpstreamError } from '../../../errors.js';

/**
 * The client's half of SCRAM-SHA-256, with and without channel binding.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5802 and https://www.rfc-editor.org/rfc/rfc7677; channel binding
 * "tls-server-end-point" is https://www.rfc-editor.org/rfc/rfc5929#section-4
 */

const derive = promisify(pbkdf2);
const hmac = (key: Buffer, text: string | Buffer) => createHmac('sha256', key).update(text).digest();
const sha256 = (data: Buffer) => createHash('sha256').update(data).digest();

/** A server that asks for more rounds than this would stall the gateway: refused. */
const iterations_max = 1_000_000;

export type ScramMechanism = 'SCRAM-SHA-256' | 'SCRAM-SHA-256-PLUS';

export class ScramClient {
  readonly mechanism: ScramMechanism;
  readonly first: string;
  readonly #bare: string;
  readonly #nonce: string;
  readonly #channel: Buffer;
  readonly #password: string;
  #serverSignature: Buffer | undefined;

  /** `endPoint`: the hash of the server's certificate where the connection is TLS and the server offers -PLUS. */
  constructor(password: string, endPoint: Buffer | undefined, offered: readonly string[], encrypted: boolean) {
    const plus = endPoint !== undefined && offered.includes('SCRAM-SHA-256-PLUS');
    if (!plus && !offered.includes('SCRAM-SHA-256')) {
      throw new UpstreamError(`the server offers no SCRAM mechanism that is known here (${offered.join(', ')})`);
    }
    this.mechanism = plus ? 'SCRAM-SHA-256-PLUS' : 'SCRAM-SHA-256';
    // "y": this side could bind the channel, but the server offers no -PLUS. A server that did offer it, and finds its
    // offer removed by somebody between, refuses then.
    const header = plus ? 'p=tls-server-end-point,,' : encrypted && endPoint !== undefined ? 'y,,' : 'n,,';
    this.#channel = Buffer.concat([Buffer.from(header), plus ? endPoint : Buffer.alloc(0)]);
    this.#nonce = randomBytes(18).toString('base64');
    this.#bare = `n=,r=${this.#nonce}`;
    this.first = header + this.#bare;
    this.#password = password.normalize('NFKC');
  }

  /** Answers the server's first message. */
  async final(serverFirst: string): Promise<string> {
    const attributes = parse(serverFirst);
    const nonce = attributes.get('r') ?? '';
    const salt = attributes.get('s');
    const iterations = Number(attributes.get('i'));
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length || salt === undefined) {
      throw new UpstreamError('the server broke SCRAM: its nonce does not continue ours');
    }
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > iterations_max) {
      throw new UpstreamError(`the server asks for ${attributes.get('i')} SCRAM iterations`);
    }
    const salted = await saltedPassword(this.#password, salt, iterations);
    const clientKey = hmac(salted, 'Client Key');
    const storedKey = sha256(clientKey);
    const withoutProof = `c=${this.#channel.toString('base64')},r=${nonce}`;
    const transcript = `${this.#bare},${serverFirst},${withoutProof}`;
    const signature = hmac(storedKey, transcript);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]!));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), transcript);
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** The server proves that it knows the password too. */
  verify(serverFinal: string): void {
    const signature = Buffer.from(parse(serverFinal).get('v') ?? '', 'base64');
    const expected = this.#serverSignature;
    if (expected === undefined || signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new UpstreamError('the server did not prove that it knows the password');
    }
  }

  /** True once the server's proof was asked for and checked: a server may not skip to AuthenticationOk. */
  get started(): boolean {
    return this.#serverSignature !== undefined;
  }
}

/** The salt of a role is the same at every sign-in: thousands of rounds of hashing need not be. */
const salted = new Map<string, Promise<Buffer>>();
const salted_max = 256;

function saltedPassword(password: string, salt: string, iterations: number): Promise<Buffer> {
  const key = `${sha256(Buffer.from(password)).toString('base64')} ${salt} ${iterations}`;
  const known = salted.get(key);
  if (known !== undefined) return known;
  const made = derive(password, Buffer.from(salt, 'base64'), iterations, 32, 'sha256');
  salted.set(key, made);
  made.catch(() => salted.delete(key));
  if (salted.size > salted_max) {
    const [oldest] = salted.keys();
    salted.delete(oldest!);
  }
  return made;
}

const parse = (text: string) =>
  new Map(text.split(',').map((attribute) => [attribute.slice(0, 1), attribute.slice(2)] as const));
