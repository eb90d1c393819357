import type { Fields, Pairs } from '../../../web/index.js';
import { RequestRefusal } from '../../../web/index.js';
import type { Request } from '../codec.js';
import type { Signing } from './forms.js';
import { signed, signerOf } from './sigv4.js';
import { Token } from './token.js';

/** Puts the gateway's own authorization on a request, as it leaves. */
export interface Authorizing {
  /** @param host as it is sent. Throws UpstreamError where there is none to be had. */
  fields(request: Request, host: string): Promise<Readonly<Record<string, string>>>;
  /** What of it nobody else may learn: what it is made of, where the target might know that, and the last that were given. */
  readonly secrets: readonly string[];
  /** The target did not take these: whether another attempt may have others. */
  refused(fields: Readonly<Record<string, string>>): boolean;
  /** There is another credential now: nothing is kept. */
  retire(): void;
  close(): void;
}

export function authorizing(signing: Signing): Authorizing {
  if ('aws' in signing) {
    const { secret_access_key, session_token } = signing.aws;
    return {
      secrets: [secret_access_key, ...(session_token === undefined ? [] : [session_token])],
      fields: (request, host) => Promise.resolve(signed(signable(request, host), signing.aws, Date.now())),
      refused: () => false,
      retire: () => undefined,
      close: () => undefined,
    };
  }
  const token = new Token(signing.token);
  const own = signing.token.from === 'oauth' ? [signing.token.client_secret] : [];
  let given: readonly string[] = [];
  let secrets: readonly string[] = own;
  return {
    get secrets() {
      return secrets;
    },
    fields: async () => {
      const bearer = await token.get();
      if (bearer !== given[0]) {
        // The one before is good for a while yet.
        given = [bearer, ...given.slice(0, 1)];
        secrets = [...own, ...given];
      }
      return { authorization: `Bearer ${bearer}` };
    },
    refused: ({ authorization = '' }) => token.refuse(authorization.slice('Bearer '.length)),
    retire: () => token.retire(),
    close: () => token.close(),
  };
}

/** What a client says of a signature of its own; its Authorization is gone already. */
const ofSignatures = ['x-amz-date', 'x-amz-content-sha256', 'x-amz-security-token'];

function signable({ method, path, query, fields, body }: Request, host: string) {
  const meant = [...fields.forwarded].filter(
    ([name]) => name === 'content-type' || name === 'content-md5' || name.startsWith('x-amz-'),
  );
  return {
    method,
    path: path.text === '' ? '/' : path.text,
    segments: path.segments,
    query: query.list,
    fields: new Map([['host', host], ...meant]),
    body: body.bytes,
  };
}

/** The names of fields whose place the gateway's own authorization takes. */
export const replacedBy = (signing: Signing | undefined): readonly string[] =>
  signing === undefined ? [] : 'aws' in signing ? ['authorization', ...ofSignatures] : ['authorization'];

/**
 * Clients of AWS sign whatever they send, with a key that is none; that is taken away. Throws RequestRefusal for a signature by the very
 * key that the gateway alone should have, and for those that are more than fields: they would be judged, and not sent.
 */
export function checkSignature(signing: Signing | undefined, { all }: Fields, query: Pairs): void {
  if (signing === undefined || !('aws' in signing)) return;
  if (signerOf(all.get('authorization') ?? '') === signing.aws.access_key_id) {
    throw new RequestRefusal(
      403,
      'credential_known',
      "the request is signed by the gateway's own access key: somebody gave it away, it has to be replaced",
    );
  }
  if (
    query.list.some(({ name }) =>
      /^(?:x-amz-(?:signature|credential|algorithm|security-token)|awsaccesskeyid)$/i.test(name),
    )
  ) {
    throw new RequestRefusal(400, 'signed_url', 'the URL is a signed one: send the request without a signature');
  }
  if ((all.get('x-amz-content-sha256') ?? '').toUpperCase().startsWith('STREAMING-')) {
    throw new RequestRefusal(
      400,
      'signed_chunks',
      'the body has signatures in it (STREAMING-…): let the client send it as it is (payload signing, no trailing checksums)',
    );
  }
}
