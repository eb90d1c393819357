import { IdentityError, ProtocolError } from '../../../errors.js';
import type { Client, ClientCertificate, Identity, Provable, Services } from '../../../protocol.js';
import * as codec from '../codec.js';
import { backend, frontend } from '../codec.js';
import { scram_bytes_max, ScramServer } from '../wire/scram-server.js';

/**
 * Who a client is: a certificate that it showed in the TLS handshake; a token or a ticket as the password, in clear inside TLS; or, where the user name is the first half of
 * a ticket, a proof of the second half that does not send it, as clients with `require_auth=scram-sha-256` insist on.
 *
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */
export interface Conversation {
  send(message: Buffer): void;
  /** The next message, which has to be of this type; with its header. */
  next(type: number, bytes_max: number): Promise<Buffer>;
}

export interface Who {
  readonly user: string;
  readonly client: Client;
  readonly endPoint: Buffer | undefined;
  /** Whoever showed one is asked for no password: it names them, or nobody. */
  readonly certificate?: ClientCertificate | undefined;
}

export async function authenticate(
  conversation: Conversation,
  who: Who,
  services: Pick<Services, 'identify' | 'provable'>,
): Promise<Identity> {
  if (who.certificate !== undefined) return services.identify(undefined, who.client, who.certificate);
  const provable = await services.provable?.(who.user, who.client);
  if (provable !== undefined) return prove(conversation, provable, who.endPoint);
  conversation.send(codec.authenticationCleartextPassword);
  const frame = await conversation.next(frontend.password, codec.password_bytes_max);
  const text = codec.decodePassword({ buffer: frame, start: 0, end: frame.length });
  if (text === '') throw new IdentityError('missing', 'empty password: sign in with a token as the password');
  return services.identify(text, who.client);
}

async function prove(conversation: Conversation, provable: Provable, endPoint: Buffer | undefined): Promise<Identity> {
  const scram = new ScramServer(provable, endPoint);
  conversation.send(authentication(10, ...scram.mechanisms.map((name) => `${name}\0`), '\0'));
  const { mechanism, data } = initialResponse(await conversation.next(frontend.password, scram_bytes_max));
  conversation.send(authentication(11, scram.first(mechanism, data)));
  const last = await conversation.next(frontend.password, scram_bytes_max);
  const { clientKey, answer } = scram.final(last.toString('utf8', 5));
  const identity = await provable.identify(clientKey);
  conversation.send(authentication(12, answer));
  return identity;
}

/** AuthenticationSASL, AuthenticationSASLContinue, AuthenticationSASLFinal: [R][length: int32][kind: int32][data]. */
function authentication(kind: number, ...data: string[]): Buffer {
  const text = Buffer.from(data.join(''));
  const message = Buffer.alloc(9);
  message[0] = backend.authentication;
  message.writeInt32BE(8 + text.length, 1);
  message.writeInt32BE(kind, 5);
  return Buffer.concat([message, text]);
}

/** SASLInitialResponse: [mechanism: string][length: int32][data]. */
function initialResponse(frame: Buffer): { mechanism: string; data: string } {
  const reader = new codec.BodyReader(frame, 5, frame.length);
  const mechanism = reader.string();
  const length = reader.int32();
  if (length < 0)
    throw new ProtocolError('malformed SCRAM message: the first one has to come with the choice of mechanism');
  const data = reader.bytes(length).toString('utf8');
  reader.finish();
  return { mechanism, data };
}
