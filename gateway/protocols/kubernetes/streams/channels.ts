/**
 * Messages of `v4.channel.k8s.io` and `v5.channel.k8s.io`: the first byte says which channel the others belong to.
 *
 * @see https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
 */
export const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4, close: 255 } as const;

/** What a client may send. In v5, 255 and a channel: that channel is over; only input is the client's to end. */
export function fromClient(message: Buffer, protocol: string): boolean {
  if (message.length === 0) return false;
  if (message[0] === channel.close)
    return protocol === 'v5.channel.k8s.io' && message.length === 2 && message[1] === channel.stdin;
  return message[0] === channel.stdin || message[0] === channel.resize;
}

/** What an API server may send. Its first message on a channel may be empty. */
export const fromServer = (message: Buffer): boolean =>
  message.length > 0 &&
  (message[0] === channel.stdout || message[0] === channel.stderr || message[0] === channel.error);

/** How a command ended, as its Status on the error channel says. */
export interface Ended {
  readonly ok: boolean;
  /** The exit code, or the reason of a failure. */
  readonly code: string;
}

type Cause = { readonly reason?: unknown; readonly message?: unknown } | null;

interface Status {
  readonly status?: unknown;
  readonly reason?: unknown;
  readonly details?: { readonly causes?: unknown };
}

/** Undefined where the text is no Status. */
export function readEnd(text: string): Ended | undefined {
  let status: Status | null;
  try {
    status = JSON.parse(text) as Status | null;
  } catch {
    return undefined;
  }
  if (status?.status === 'Success') return { ok: true, code: '0' };
  if (status?.status !== 'Failure') return undefined;
  const causes: unknown = status.details?.causes;
  const exit = (Array.isArray(causes) ? (causes as Cause[]) : []).find(
    (cause) => cause?.reason === 'ExitCode',
  )?.message;
  const reason = typeof status.reason === 'string' ? status.reason : 'Failure';
  return { ok: false, code: typeof exit === 'string' ? exit : reason };
}
