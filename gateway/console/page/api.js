/** The gateway's API behind the session's cookie: docs/api.md, below /console/v1 in the place of /v1. */

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const get = (path) => send('GET', path);
export const post = (path, body = {}) => send('POST', path, body);

async function send(method, path, body) {
  const headers = { 'sallyport-console': '1', ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  let response;
  try {
    response = await fetch(`v1${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refused(0, 'unreachable', 'the gateway does not answer');
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new Refused(response.status, answer.code ?? 'unknown', answer.detail ?? `it answered with ${response.status}`);
}

export const signOut = () => fetch('sign-out', { method: 'POST', headers: { 'sallyport-console': '1' } });

/** Calls `told` for whatever happens to a request, and `lost` when the stream ends for good. */
export function listen(told, lost) {
  const stream = new EventSource('v1/events');
  for (const type of ['requested', 'answered', 'effect', 'ended', 'granted', 'revoked']) {
    stream.addEventListener(type, (event) => told(type, JSON.parse(event.data).id));
  }
  // The browser comes back by itself, but for an answer that is no stream: then nobody is signed in any more.
  stream.addEventListener('error', () => {
    if (stream.readyState === EventSource.CLOSED) lost();
  });
  return () => stream.close();
}
