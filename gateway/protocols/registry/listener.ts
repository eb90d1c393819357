import { randomBytes } from 'node:crypto';
import type { Mount, Services } from '../../protocol.js';
import {
  Exchange,
  mountOf,
  promptOf,
  readFields,
  RequestRefusal,
  sendProblem,
  signIn,
  TargetPool,
  type ExchangeParts,
  type Problem,
  refuseLeak,
} from '../../web/index.js';
import { ownFields } from './answer.js';
import { addressed, readRequest, type RegistryRequest } from './codec.js';
import type { RegistryUpstream } from './config.js';
import { challenged, errorsOf, limited, obligations } from './enforce.js';
import { Handling } from './handling.js';
import { RegistryTarget } from './upstream.js';
import { UploadSeal } from './uploads.js';

/** `docker push GATEWAY/TARGET/REPOSITORY:TAG`: the API of registries at `/v2/TARGET/…`, of which each request is one operation. */

interface Parts extends ExchangeParts {
  readonly targets: TargetPool<RegistryUpstream, RegistryTarget>;
  readonly sealOf: (name: string) => UploadSeal;
}

export function registryGate(services: Services): Mount {
  const targets = new TargetPool<RegistryUpstream, RegistryTarget>(
    (upstream, renewed) => new RegistryTarget(upstream, renewed),
  );
  const seals = new Map<string, UploadSeal>();
  const sealOf = (name: string) => {
    let seal = seals.get(name);
    if (seal === undefined) seals.set(name, (seal = new UploadSeal(secretOf(services, name))));
    return seal;
  };
  return mountOf(
    '/v2/',
    services,
    (request, response, parts) => new RegistryExchange(request, response, { ...parts, targets, sealOf }),
    () => targets.close(),
  );
}

/** From what replicas have in common, so that an upload that began at one goes on at another. */
function secretOf(services: Services, target: string): Buffer {
  const key = services.maskKey?.(target);
  return key === undefined ? randomBytes(32) : Buffer.from(key, 'hex');
}

/** One request and its answer. */
class RegistryExchange extends Exchange {
  protected readonly protocol = 'registry';
  protected readonly supports = obligations;
  readonly #parts: Parts;

  constructor(request: Exchange['request'], response: Exchange['response'], parts: Parts) {
    super(request, response, parts);
    this.#parts = parts;
  }

  protected override refuse(problem: Problem): void {
    sendProblem(this.response, challenged(problem), { type: 'application/json', text: errorsOf(problem) });
  }

  protected async serve(): Promise<void> {
    const { request } = this;
    // Who asks comes first: nobody learns what is refused, or which targets there are, without a token.
    const { all } = readFields(request.rawHeaders, true);
    const { token, identity } = await signIn(this.services, all, request.socket, this.client);
    const asked = addressed(request.url ?? '');
    if (asked === 'ping') return this.#greet();
    if (asked === 'catalog') {
      throw new RequestRefusal(404, 'unsupported', 'there is no catalog of repositories here: ask for them by name');
    }
    const { target: name } = asked;
    this.target = name;
    const target = this.find(name);
    const read = readRequest(request.method ?? '', asked, request.rawHeaders);
    refuseLeak(sentOf(read, all), token);
    const held = this.session(identity, target, token, all.get('user-agent'));
    const upstream = target.upstream as RegistryUpstream;
    await this.during(held, () =>
      new Handling({
        request: read,
        incoming: request,
        token,
        response: this.response,
        session: held.session,
        target: this.#parts.targets.of(target, upstream),
        host: upstream.name,
        seal: this.#parts.sealOf(name),
        prompt: promptOf(all),
        signal: this.signal,
        forward: (admitted, run) => this.forward(admitted, (amount) => limited('seconds', amount), run),
        refuse: (problem) => this.refuse(problem),
      }).run(),
    );
  }

  /** Says that this API is spoken here, to whoever is signed in; nothing goes to any registry. */
  #greet(): void {
    const { method } = this.request;
    if (method !== 'GET' && method !== 'HEAD')
      throw new RequestRefusal(405, 'unsupported', 'only GET may be asked here');
    const body = '{}';
    this.response.writeHead(200, {
      ...ownFields,
      'content-type': 'application/json',
      'content-length': String(body.length),
    });
    this.response.end(method === 'HEAD' ? undefined : body);
  }
}

/** What a request says beside who asks, where the token might stand; a manifest is looked at once it is there. */
function* sentOf({ repository, endpoint, parameters, from = '' }: RegistryRequest, all: ReadonlyMap<string, string>) {
  yield* [repository, from, endpoint.kind === 'manifest' ? (endpoint.tag ?? '') : ''];
  yield* parameters.values();
  for (const [name, value] of all) if (!name.endsWith('authorization') && name !== 'x-sallyport-token') yield value;
}
