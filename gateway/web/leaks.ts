import { RequestRefusal } from './refusal.js';
import { inBase64 } from './repeating/spellings.js';

/** Shorter ones would be found in anything. */
const coded_chars_min = 20;
const known_max = 256;
const known = new Map<string, readonly string[]>();

/**
 * The token is for the gateway alone, wherever else in a request somebody put it: as it is, or in base64, as in a field of
 * Basic (RFC 7617) or in the login file of another client. Throws RequestRefusal.
 *
 * @param parts What would go on: fields, path, values, bodies.
 */
export function refuseLeak(parts: Iterable<string | Buffer>, token: string): void {
  const spelled = spellingsOf(token);
  for (const part of parts) {
    if (part.length < coded_chars_min && part.length < token.length) continue;
    if (spelled.some((one) => part.includes(one))) {
      throw new RequestRefusal(
        400,
        'token_in_request',
        'your token stands in the request itself: it is for the gateway alone',
      );
    }
  }
}

/** The token, and what is the same of it in base64, whatever stands before and behind. */
function spellingsOf(token: string): readonly string[] {
  let spelled = known.get(token);
  if (spelled === undefined) {
    spelled = [token, ...[0, 1, 2].map((before) => inBase64(token, before))].filter(
      (one, index) => index === 0 || one.length >= coded_chars_min,
    );
    const [oldest] = known.keys();
    if (oldest !== undefined && known.size >= known_max) known.delete(oldest);
    known.set(token, spelled);
  }
  return spelled;
}
