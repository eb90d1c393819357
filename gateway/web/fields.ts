import { RequestRefusal } from './refusal.js';

/**
 * The fields of a request (RFC 9110, 5): which go on, which stay here, and which make the request refused, because servers
 * disagree on what they mean.
 */
export interface Fields {
  /** What goes on to the upstream, by lower-case name; credentials included. */
  readonly forwarded: ReadonlyMap<string, string>;
  /** Names of those among them that are credentials: policy sees that they are there, not what they say. */
  readonly credentials: readonly string[];
  /** Everything that came, by lower-case name. */
  readonly all: ReadonlyMap<string, string>;
}

/** Fields that may come in several lines: then they are one list. */
const lists: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'if-match',
  'if-none-match',
  'pragma',
  'prefer',
  'te',
  'via',
  'warning',
  'link',
  'baggage',
  'tracestate',
]);

/** Of one connection (RFC 9110, 7.6.1), of the way here, or of this gateway: never sent on. */
const dropped: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'content-length', 'expect'],
  ...['host', 'cookie', 'cookie2', 'origin', 'referer', 'proxy-authorization', 'proxy-authenticate', 'via'],
  ...['forwarded', 'x-real-ip', 'x-client-ip', 'x-cluster-client-ip', 'x-remote-ip', 'x-remote-addr', 'x-host'],
  ...[
    'true-client-ip',
    'cf-connecting-ip',
    'fastly-client-ip',
    'x-original-host',
    'x-proxyuser-ip',
    'wl-proxy-client-ip',
  ],
]);
const droppedBeginnings = ['x-forwarded-', 'x-sallyport-', 'sec-', 'sallyport-'];

/** Another method, path or place than the request line says. */
const overriding: ReadonlySet<string> = new Set([
  ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-method', 'x-original-url'],
  ...['x-original-uri', 'x-rewrite-url', 'x-override-url', 'x-forwarded-path', 'x-envoy-original-path'],
  ...['x-http-path-override', 'x-http-destinationurl', 'x-accel-redirect'],
]);

const credentialNames: ReadonlySet<string> = new Set([
  ...['authorization', 'x-api-key', 'api-key', 'apikey', 'x-auth-token', 'x-access-token', 'x-amz-security-token'],
  ...[
    'private-token',
    'job-token',
    'deploy-token',
    'x-vault-token',
    'x-goog-api-key',
    'x-goog-iam-authorization-token',
  ],
  ...['x-consul-token', 'x-csrf-token', 'x-xsrf-token', 'x-shopify-access-token', 'x-figma-token', 'dd-api-key'],
  ...[
    'dd-application-key',
    'circle-token',
    'x-github-token',
    'x-registry-auth',
    'x-functions-key',
    'x-ms-authorization-auxiliary',
  ],
  ...['x-serverless-authorization', 'x-goog-iap-jwt-assertion', 'x-amz-s3session-token'],
  ...['ocp-apim-subscription-key', 'x-plex-token', 'x-token', 'x-auth-key', 'x-authorization', 'x-secret'],
]);

const name_pattern = /^[a-z0-9!#$%&'*+.^`|~-]+$/;
const value_pattern = /^[\t\x20-\x7e]*$/;
const lines_max = 200;

/**
 * @param raw As Node gives them: name, value, name, value, …
 * @param injected Whether the gateway has a credential for this target: then the client's own stay here.
 */
export function readFields(raw: readonly string[], injected: boolean): Fields {
  const all = collected(raw);
  const connection = (all.get('connection') ?? '').toLowerCase().split(',');
  for (const option of connection.map((text) => text.trim())) {
    if (option === 'upgrade' || option === 'http2-settings') throw upgrade();
    if (!['', 'close', 'keep-alive', 'te'].includes(option)) {
      throw refused('connection_option', 'the field Connection names fields that would be taken away on the way');
    }
  }
  if (all.has('upgrade') || all.has('http2-settings')) throw upgrade();
  if ((all.get('transfer-encoding') ?? 'chunked').toLowerCase() !== 'chunked') {
    throw new RequestRefusal(501, 'transfer_coding', 'the body is coded on its way in another form than in chunks');
  }

  const forwarded = new Map<string, string>();
  const credentials: string[] = [];
  for (const [name, value] of all) {
    if (overriding.has(name)) {
      throw refused('override_field', `the field ${name} says another method or path than the request line`);
    }
    if (dropped.has(name) || droppedBeginnings.some((start) => name.startsWith(start))) continue;
    if (credentialNames.has(name)) {
      if (injected) continue;
      credentials.push(name);
    }
    forwarded.set(name, value);
  }
  return { forwarded, credentials: credentials.sort(), all };
}

/** By lower-case name; throws for what is no field, or comes twice. */
function collected(raw: readonly string[]): Map<string, string> {
  if (raw.length / 2 > lines_max) throw new RequestRefusal(431, 'too_many_fields', 'the request has too many fields');
  const all = new Map<string, string>();
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index]!.toLowerCase();
    const value = raw[index + 1]!.trim();
    // "_" is "-" to servers that make variables of fields (CGI, WSGI): two names for one thing.
    if (!name_pattern.test(name)) throw refused('field_name', 'a field has a name with "_", or that is no name');
    if (!value_pattern.test(value)) throw refused('field_value', `the field ${name} has a character beyond ASCII`);
    const before = all.get(name);
    if (before !== undefined && !lists.has(name)) throw refused('duplicate_field', `the field ${name} comes twice`);
    all.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return all;
}

const refused = (reason: string, message: string) => new RequestRefusal(400, reason, message);
const upgrade = () =>
  new RequestRefusal(
    400,
    'upgrade_refused',
    'the request asks for another protocol (Upgrade): only HTTP/1.1 passes here',
  );
