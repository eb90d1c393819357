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
  return (await sent(method, path, body)).json().catch(() => ({}));
}

/** A text as it comes, and no more of it than so many bytes. `headers`: what was said of it. */
export async function getText(path, bytes_max) {
  const { headers, body } = await sent('GET', path);
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const pieces = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return { text: pieces.join('') + decoder.decode(), headers, cut: false };
      bytes += value.length;
      pieces.push(decoder.decode(value, { stream: true }));
      if (bytes >= bytes_max) return { text: pieces.join(''), headers, cut: true };
    }
  } catch {
    throw new Refused(0, 'unreachable', 'the gateway broke off in the middle of its answer');
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** What the gateway answered with a yes; its no is thrown. */
async function sent(method, path, body) {
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
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
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
