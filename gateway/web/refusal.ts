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
