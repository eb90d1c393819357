import { createHmac, randomBytes } from 'node:crypto';
import { ProtocolError } from '../../../errors.js';
import type { Provable } from '../../../protocol.js';

/**
 * The server's half of SCRAM-SHA-256, with and without channel binding: pure, one message in and one out.
 *
 * @see https://www.rfc-editor.org/rfc/rfc5802, https://www.rfc-editor.org/rfc/rfc7677 and
 * https://www.postgresql.org/docs/current/sasl-authentication.html; channel binding "tls-server-end-point" is
 * https://www.rfc-editor.org/rfc/rfc5929#section-4
 */

export const plain = 'SCRAM-SHA-256';
export const bound = 'SCRAM-SHA-256-PLUS';

/** Of a message; a client's own take a few hundred bytes. */
export const scram_bytes_max = 4_096;
const nonce_chars_max = 256;

export class ScramServer {
  readonly #provable: Provable;
  readonly #endPoint: Buffer | undefined;
  #mechanism = '';
  /** What the client said of channel binding, as it has to repeat it. */
  #channel: Buffer = Buffer.alloc(0);
  #firstBare = '';
  #nonce = '';
  #serverFirst = '';

  /** `endPoint`: the hash of the certificate that the client saw; absent where the connection is not TLS. */
  constructor(provable: Provable, endPoint: Buffer | undefined) {
    this.#provable = provable;
    this.#endPoint = endPoint;
  }

  /** The strongest first: a client takes the first one that it knows. */
  get mechanisms(): readonly string[] {
    return this.#endPoint === undefined ? [plain] : [bound, plain];
  }

  /** client-first-message: gs2-header (flag "," authzid ",") "n=" user ",r=" nonce; the user name is the start-up packet's. */
  first(mechanism: string, message: string): string {
    if (!this.mechanisms.includes(mechanism))
      throw new ProtocolError('client selected an invalid SASL authentication mechanism');
    const [, header, flag, name, bare, nonce] =
      /^((p=[A-Za-z0-9.-]+|y|n),(?:a=[^,]*)?,)()(n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/su.exec(message) ?? [];
    if (
      header === undefined ||
      bare === undefined ||
      nonce === undefined ||
      name === undefined ||
      nonce.length > nonce_chars_max
    )
      throw new ProtocolError('malformed SCRAM message');
    this.#checkFlag(flag ?? '', mechanism);
    if (header.includes('a=')) throw new ProtocolError('client uses authorization identity, but it is not supported');
    this.#mechanism = mechanism;
    this.#channel = Buffer.concat([
      Buffer.from(header),
      mechanism === bound ? (this.#endPoint ?? Buffer.alloc(0)) : Buffer.alloc(0),
    ]);
    this.#firstBare = bare;
    this.#nonce = nonce + randomBytes(18).toString('base64');
    this.#serverFirst = `r=${this.#nonce},s=${this.#provable.salt.toString('base64')},i=${this.#provable.iterations}`;
    return this.#serverFirst;
  }

  #checkFlag(flag: string, mechanism: string): void {
    if (mechanism === bound) {
      if (flag !== 'p=tls-server-end-point')
        throw new ProtocolError(`unsupported SCRAM channel-binding type in ${JSON.stringify(flag)}`);
      return;
    }
    // The client could bind the channel and thinks that we cannot, though we offered it: somebody between took it out.
    if (flag === 'y' && this.#endPoint !== undefined) {
      throw new ProtocolError(
        'the client was not shown that this server offers SCRAM channel binding: somebody may be in between',
      );
    }
    if (flag.startsWith('p='))
      throw new ProtocolError('malformed SCRAM message: channel binding without SCRAM-SHA-256-PLUS');
  }

  /** client-final-message: "c=" channel ",r=" nonce ",p=" proof. The key that the proof shows, and the server's own proof. */
  final(message: string): { readonly clientKey: Buffer; readonly answer: string } {
    if (this.#mechanism === '') throw new ProtocolError('malformed SCRAM message: no first one was sent');
    const [, withoutProof, channel, nonce, proofText] =
      /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)),p=([A-Za-z0-9+/=]+)$/u.exec(message) ?? [];
    if (withoutProof === undefined || channel === undefined || proofText === undefined)
      throw new ProtocolError('malformed SCRAM message');
    if (nonce !== this.#nonce) throw new ProtocolError('invalid SCRAM response: nonce does not match');
    if (!Buffer.from(channel, 'base64').equals(this.#channel))
      throw new ProtocolError('SCRAM channel binding check failed');
    const proof = Buffer.from(proofText, 'base64');
    if (proof.length !== 32) throw new ProtocolError('malformed SCRAM message: the proof has the wrong length');
    const transcript = `${this.#firstBare},${this.#serverFirst},${withoutProof}`;
    const signature = hmac(this.#provable.storedKey, transcript);
    return {
      clientKey: Buffer.from(proof.map((byte, index) => byte ^ signature[index]!)),
      answer: `v=${hmac(this.#provable.serverKey, transcript).toString('base64')}`,
    };
  }
}

const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
