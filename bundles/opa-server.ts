import { ask } from './asking.js';
import { BundleError, messageOf, refusal } from './error.js';
import { isPlainOnLoopback } from './loopback.js';
import { readBundle } from './opa-archive.js';
import { type BundleKeys, isSignedByKey } from './opa-signatures.js';
import { type Commit, type Snapshot, snapshot_bytes_max, type Source } from './snapshot.js';

export interface BundleServerOptions {
  /** https://…, of one bundle; http:// on this machine alone. */
  readonly url: string;
  readonly token?: string;
  /** Authorities in place of the system's, as PEM. */
  readonly ca?: string;
  readonly poll_ms: number;
  /** How long the server may wait for something new before it answers; 0: it is not asked to. */
  readonly long_poll_ms: number;
  /** Absent: a bundle needs no signature. */
  readonly signing?: BundleKeys | undefined;
}

const answer_ms_max = 60_000;
const asks_ms_min = 1_000;
/** What a server answers with that holds a request until there is something new. */
const longPolling = 'application/vnd.openpolicyagent.bundles';

/**
 * Policy from a server of OPA bundles: one archive, asked for with the ETag of the last, held by the server where it can
 * until there is another. Its Rego is compiled here as any other source's; what it has in WebAssembly is not looked at.
 *
 * @see https://www.openpolicyagent.org/docs/latest/management-bundles/
 */
export class BundleServerSource implements Source {
  readonly description: string;
  readonly #options: BundleServerOptions;
  #kept: { readonly etag: string | undefined; readonly snapshot: Snapshot } | undefined;
  #failure: Error | undefined;
  #asking: Promise<void> | undefined;
  #due = true;
  /** The server holds requests, as far as is known. */
  #holds: boolean;
  /** Requests overlap, with one that the server holds: an older answer never takes the place of a newer one. */
  #sent = 0;
  #taken = 0;

  constructor(options: BundleServerOptions) {
    demandSafe(options.url);
    this.#options = options;
    this.#holds = options.long_poll_ms > 0;
    this.description = `bundle ${shown(options.url)}`;
  }

  async head(): Promise<string> {
    return (await this.read()).revision;
  }

  async read(): Promise<Snapshot> {
    if (this.#due) {
      this.#due = false;
      this.#asking ??= this.#ask(0).finally(() => (this.#asking = undefined));
    }
    await this.#asking;
    if (this.#failure !== undefined) throw this.#failure;
    return this.#kept!.snapshot;
  }

  poke(): void {
    this.#due = true;
  }

  accepts(commit: Commit | undefined): boolean {
    return isSignedByKey(commit, this.#options.signing);
  }

  async watch(changed: () => void): Promise<() => Promise<void>> {
    const ending = new AbortController();
    const looking = this.#look(changed, ending.signal);
    return async () => {
      ending.abort();
      await looking;
    };
  }

  async #look(changed: () => void, signal: AbortSignal): Promise<void> {
    const { poll_ms, long_poll_ms } = this.#options;
    while (!signal.aborted) {
      if (!this.#holds || this.#failure !== undefined) await pause(poll_ms, signal);
      if (signal.aborted) return;
      const asked = performance.now();
      await this.#ask(this.#failure === undefined ? long_poll_ms : 0, signal);
      if (signal.aborted) return;
      changed();
      // One that answers at once, whatever it says of itself, is not asked in a circle.
      await pause(Math.max(0, asks_ms_min - (performance.now() - asked)), signal);
    }
  }

  /** Never throws: what fails is told by the next read. */
  async #ask(wait_ms: number, signal?: AbortSignal): Promise<void> {
    const number = (this.#sent += 1);
    const known = this.#kept;
    try {
      const answer = await get(this.#options, known?.etag, wait_ms, signal);
      const kept = answer.status === 304 && known !== undefined ? known : await this.#read(answer);
      if (number < this.#taken) return;
      this.#taken = number;
      if (wait_ms > 0) this.#holds = answer.type.startsWith(longPolling);
      this.#kept = kept;
      this.#failure = undefined;
    } catch (error) {
      if (signal?.aborted === true || number < this.#taken) return;
      this.#taken = number;
      // The same bundle is asked for again, whole: what is wrong may be mended where it was changed on the way.
      this.#failure =
        error instanceof BundleError
          ? error
          : refusal('unreachable', `${shown(this.#options.url)} cannot be fetched: ${messageOf(error)}`, {
              help: 'Check policy.bundle: url, token and ca. The last good revision stays in force.',
              cause: error,
            });
    }
  }

  async #read({ status, etag, modified, body }: Answer): Promise<{ etag: string | undefined; snapshot: Snapshot }> {
    if (status !== 200) throw new Error(`the server answers ${status}`);
    const { builder, revision, signer } = await readBundle(body, this.#options.signing);
    const { digest } = builder.finish({});
    const time = new Date(Date.parse(modified) || Date.now()).toISOString();
    const commit = {
      hash: digest,
      subject: revision,
      author: shown(this.#options.url),
      time,
      ...(signer && { signer }),
    };
    return { etag, snapshot: builder.finish({ revision: `bundle:${digest}`, commit }) };
  }
}

interface Answer {
  readonly status: number;
  readonly etag: string | undefined;
  readonly type: string;
  readonly modified: string;
  readonly body: Buffer;
}

/** One GET. Redirects are not followed: the credential would go wherever they lead. */
async function get(
  { url, token, ca }: BundleServerOptions,
  etag: string | undefined,
  wait_ms: number,
  signal?: AbortSignal,
): Promise<Answer> {
  const wait_s = Math.round(wait_ms / 1000);
  const headers = {
    prefer: wait_s > 0 ? `modes=snapshot;wait=${wait_s}` : 'modes=snapshot',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(etag === undefined ? {} : { 'if-none-match': etag }),
  };
  const time_ms_max = answer_ms_max + wait_ms;
  const { status, headers: given, body } = await ask(url, { headers, ca, bytes_max: snapshot_bytes_max, time_ms_max, signal }); // prettier-ignore
  return {
    ...{ status, body, etag: given.etag },
    ...{ type: given['content-type'] ?? '', modified: given['last-modified'] ?? '' },
  };
}

function pause(time_ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, time_ms).unref();
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}

/** What anybody on the way could change is no source of policy. */
function demandSafe(url: string): void {
  if (/^https:\/\//i.test(url) || isPlainOnLoopback(url)) return;
  throw refusal('bad_remote', `policy.bundle.url ${JSON.stringify(shown(url))} is not https://`, {
    help: 'What comes in clear could be changed on the way.',
  });
}

const shown = (url: string): string => url.replace(/\/\/[^/@\s]*@/g, '//').replace(/\?.*$/s, '');
