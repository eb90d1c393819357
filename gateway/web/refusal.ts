import type { IncomingMessage } from 'node:http';
import { ProtocolError } from '../errors.js';

/**
 * A request that could be read in more than one way, or in none: answered here, never forwarded. `message` says what is
 * wrong and what to do; it quotes no value.
 */
export class RequestRefusal extends ProtocolError {
  /** The HTTP status that it is answered with. */
  readonly status: number;
  /** Short and stable: what a program tells refusals apart by. See docs/protocols/http.md. */
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

/** Node's reader takes "HTTP/0.9" and "HTTP/2.0" as well, in which a request looks otherwise (RFC 9112, 2.3). */
export const isSpoken = ({ httpVersion }: IncomingMessage): boolean => httpVersion === '1.1' || httpVersion === '1.0';

/** Throws RequestRefusal. */
export function checkVersion(request: IncomingMessage): void {
  if (!isSpoken(request)) throw new RequestRefusal(505, 'http_version', 'only HTTP/1.1 and HTTP/1.0 are spoken here');
}
