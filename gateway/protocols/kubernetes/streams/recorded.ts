import type { Decision } from '#engine';
import { ContentStream, maskText, noKinds, type Kinds } from '../../../content/index.js';
import type { Recording, RecordingAbout } from '../../../protocol.js';
import type { KubernetesRequest } from '../codec.js';

/** What is recorded of a command in a container: what its client gets to see, and input that nobody judged. */

/** A client tells its terminal's size once it is joined. */
const size_first = { columns: 80, rows: 24 };
const size_bytes_max = 256;
const side_max = 10_000;

export function aboutOf(request: KubernetesRequest, decision: Decision, kinds: Kinds): RecordingAbout {
  const masked = kinds !== noKinds;
  const command = commandOf(request);
  return {
    decision: decision.id,
    request: request.info.isResource ? request.info.subresource : '',
    command: masked ? maskText(command, { kinds, numbers: true }) : command,
    ...(request.running?.terminal === true ? { terminal: size_first } : {}),
    masked,
  };
}

/** As kubectl would be told it: the words alone would not say of which container they are. */
function commandOf({ info, container, running }: KubernetesRequest): string {
  if (!info.isResource) return '';
  const { subresource, namespace, name } = info;
  const where = [...(namespace === '' ? [] : ['-n', namespace]), name, ...(container ? ['-c', container] : [])];
  const argv = running?.argv ?? [];
  return ['kubectl', subresource, ...where, ...(argv.length === 0 ? [] : ['--', ...argv])].map(word).join(' ');
}

const word = (text: string): string =>
  /^[\w./:@%+,=-]+$/u.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

/**
 * Input is recorded where it decides what happens and nothing shows it: of what is opaque, without a terminal. In a terminal
 * what is typed is recorded as far as it is echoed; so a password never is. Masked as output is.
 */
export class RecordedInput {
  readonly #recording: Recording;
  readonly #masking: ContentStream | undefined;

  constructor(recording: Recording, kinds: Kinds) {
    this.#recording = recording;
    this.#masking = kinds === noKinds ? undefined : new ContentStream({ kinds, numbers: false });
  }

  push(bytes: Buffer): void {
    this.#record(this.#masking === undefined ? bytes : this.#masking.push(bytes));
  }

  /** There is no more of it. */
  end(): void {
    if (this.#masking !== undefined) this.#record(this.#masking.finish());
  }

  #record(bytes: Buffer): void {
    if (bytes.length > 0) this.#recording.input(bytes);
  }
}

/** `{"Width":80,"Height":24}`, as a client says how large its terminal is; undefined where that is no size. */
export function sizeIn(message: Buffer): { readonly columns: number; readonly rows: number } | undefined {
  if (message.length > size_bytes_max) return undefined;
  try {
    const said = JSON.parse(message.toString('utf8')) as { Width?: unknown; Height?: unknown } | null;
    const { Width: columns, Height: rows } = said ?? {};
    return isSide(columns) && isSide(rows) ? { columns, rows } : undefined;
  } catch {
    return undefined;
  }
}

const isSide = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= side_max;
